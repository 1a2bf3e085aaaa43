"""Where the two rooms are reached: what to bind, what to print, whether TLS is needed."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from dataclasses import dataclass

from appliance.errors import ConfigurationError

LOCAL = frozenset({"localhost", "127.0.0.1"})
EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Address:
    """`bind` is an IP address; `names` are what the certificate covers; intake listens on `port` + 1."""

    bind: str
    port: int
    tls: bool
    staff_url: str
    intake_url: str
    names: tuple[str, ...]

    @property
    def intake_port(self) -> int:
        return self.port + 1

    def listen(self, port: int) -> str:
        """`address:port` in the form that servers take."""
        return f"[{self.bind}]:{port}" if ":" in self.bind else f"{self.bind}:{port}"


def resolve(host: str, port: int) -> Address:
    """From HOST= and PORT=. Raises ConfigurationError for a host that has no address.

    On this machine alone, staff are served at `localhost` and candidates at `127.0.0.1`: browsers keep
    cookies per host and not per port, so intake never sees the staff's cookie. Elsewhere TLS is on, since
    browsers open cameras on https only.
    """
    if host in LOCAL:
        return Address(
            LOOPBACK, port, False, f"http://localhost:{port}", f"http://{LOOPBACK}:{port + 1}", (LOOPBACK,)
        )
    name = socket.getfqdn() if host in EVERYWHERE else host
    bind = host if host in EVERYWHERE else _address_of(host)
    names = tuple(dict.fromkeys((name, bind))) if host not in EVERYWHERE else (name, *_own_addresses())
    shown = f"[{name}]" if ":" in name else name
    return Address(bind, port, True, f"https://{shown}:{port}", f"https://{shown}:{port + 1}", names)


def _address_of(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise ConfigurationError(
            what=f"the host {host} has no address here ({error.strerror}). Choose another with HOST="
        ) from error


def _own_addresses() -> tuple[str, ...]:
    """The addresses this machine's own name leads to, loopback included."""
    found = [LOOPBACK]
    with contextlib.suppress(OSError):
        found += [str(entry[4][0]) for entry in socket.getaddrinfo(socket.gethostname(), None)]
    return tuple(dict.fromkeys(found))
