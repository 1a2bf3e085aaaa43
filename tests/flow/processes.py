"""The running product's processes and its database, stopped and started from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path

from supervisor.xmlrpc import SupervisorTransport

from appliance.embedded import accounts
from appliance.embedded.accounts import Account
from appliance.embedded.layout import Layout
from appliance.embedded.postgres import EmbeddedPostgres
from appliance.errors import KeyholderDownError
from appliance.keyholder.client import Keyholder
from tests.support.children import children_of
from tests.support.product import Product
from tests.support.waiting import until
from tests.support.web import Client


def _supervisor(product: Product) -> xmlrpc.client.ServerProxy:
    transport = SupervisorTransport(serverurl=f"unix://{Layout(product.data).supervisor_socket}")
    return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)


def stop(product: Product, name: str) -> None:
    """Stop one process and wait for its end."""
    assert _supervisor(product).supervisor.stopProcess(name)


def start(product: Product, name: str) -> None:
    """Start it again and wait until it answers."""
    assert _supervisor(product).supervisor.startProcess(name)
    if name == "keyholder":
        until(lambda: _keyholder_answers(product))
    elif name in ("staff", "intake"):
        until(lambda: _serves(product.port + (name == "intake")))


@contextlib.contextmanager
def without(product: Product, *names: str) -> Iterator[None]:
    """For a while the product lacks these processes."""
    for name in names:
        stop(product, name)
    try:
        yield
    finally:
        for name in names:
            start(product, name)


def kill(product: Product, name: str) -> None:
    """SIGKILL, as a crash; wait until its children are gone and a new one serves."""
    before = pid(product, name)
    children = children_of(before, b"gunicorn")
    assert _supervisor(product).supervisor.signalProcess(name, "KILL")
    until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
    until(lambda: pid(product, name) not in (0, before))
    until(lambda: _serves(product.port + (name == "intake")))


def _keyholder_answers(product: Product) -> bool:
    with contextlib.suppress(KeyholderDownError):
        return not Keyholder(product.settings).status().locked
    return False


def _serves(port: int) -> bool:
    with contextlib.suppress(OSError):
        return Client(f"http://127.0.0.1:{port}").ask("GET", "/healthz").status < 500
    return False


def pid(product: Product, name: str) -> int:
    info = _supervisor(product).supervisor.getProcessInfo(name)
    assert isinstance(info, dict)
    return int(info["pid"])


def everyone(product: Product) -> list[int]:
    """All processes of the product, its database's too."""
    found, waiting = [], [product.process.pid]
    while waiting:
        each = waiting.pop()
        found.append(each)
        waiting += children_of(each)
    postmaster = Layout(product.data).postgres / "cluster" / "postmaster.pid"
    server = int(postmaster.read_text().split()[0])
    return [*found, server, *children_of(server)]


def open_files(product: Product) -> Iterator[tuple[str, Path]]:
    """Each plain file that a process of the product has open: its name, and where it can be read even if the
    name is gone."""
    seen = set()
    for process in everyone(product):
        for path in Path(f"/proc/{process}/fd").glob("*"):
            with contextlib.suppress(OSError):
                about = path.stat()
                if stat.S_ISREG(about.st_mode) and (about.st_dev, about.st_ino) not in seen:
                    seen.add((about.st_dev, about.st_ino))
                    yield str(path.readlink()), path


@contextlib.contextmanager
def without_database(product: Product, installation: Path | None) -> Iterator[None]:
    """For a while PostgreSQL is down, and `fupan run`, which would start it again, is held."""
    layout = Layout(product.data)
    account = accounts.unprivileged() if os.geteuid() == 0 else Account.current()
    server = EmbeddedPostgres(layout.postgres, account, installation)
    product.process.send_signal(signal.SIGSTOP)
    try:
        server.stop()
        yield
    finally:
        passwords = json.loads((layout.secrets / "database.json").read_text())
        server.start(passwords["superuser"])
        product.process.send_signal(signal.SIGCONT)
