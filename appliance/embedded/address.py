"""Where the two rooms are reached: what to bind, what to print, whether TLS is needed."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import ConfigurationError

LOCAL = frozenset({"localhost", "127.0.0.1"})
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

    @property
    def near(self) -> str:
        """The IP address by which this machine itself reaches it."""
        if not _is_everywhere(self.bind):
            return self.bind
        return "::1" if ":" in self.bind else LOOPBACK

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
    if _is_everywhere(host):
        bind, names = host, _own_names()
    else:
        bind = _address_of(host)
        names = tuple(dict.fromkeys((host, bind)))
    name = names[0]
    shown = f"[{name}]" if ":" in name else name
    return Address(bind, port, True, f"https://{shown}:{port}", f"https://{shown}:{port + 1}", names)


def _is_everywhere(host: str) -> bool:
    """Whether it stands for all addresses of this machine, as `0.0.0.0` and `::` do."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


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


def _own_names() -> tuple[str, ...]:
    """What this machine can be reached by, the best for others first: its name within a domain, else an
    address that is not loopback's. Many machines call themselves localhost or have a name nobody else knows.
    """
    full, short = socket.getfqdn(), socket.gethostname()
    addresses = [*_addresses_4(), *_addresses_6()]
    known = [full] if "." in full and not full.startswith("localhost") else []
    return tuple(dict.fromkeys((*known, *addresses, short, "localhost", LOOPBACK)))


def _addresses_4() -> list[str]:
    """Addresses of the machine's interfaces, as the kernel's routing table lists them."""
    found, last = [], ""
    for line in _lines("/proc/net/fib_trie"):
        if line.startswith("|-- "):
            last = line.removeprefix("|-- ")
        elif line == "/32 host LOCAL":
            found.append(last)
    return [text for text in dict.fromkeys(found) if not ipaddress.ip_address(text).is_loopback]


def _addresses_6() -> list[str]:
    found = (ipaddress.IPv6Address(int(line.split()[0], 16)) for line in _lines("/proc/net/if_inet6"))
    return [str(address) for address in found if not (address.is_loopback or address.is_link_local)]


def _lines(path: str) -> list[str]:
    try:
        return [line.strip() for line in Path(path).read_text(encoding="ascii").splitlines()]
    except OSError:
        return []
