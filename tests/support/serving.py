"""The product's own gunicorn over an application of a test, and browsers as plain sockets."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from appliance.embedded import certificate, processes
from appliance.embedded.address import Address
from appliance.embedded.layout import Layout
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
# No test waits so long; what this ends would never have come.
NEVER_SECONDS = 60


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), NEVER_SECONDS)


@contextlib.contextmanager
def serving(
    folder: Path, name: str, application: str, pair: certificate.Certificate | None = None, **environment: str
) -> Iterator[int]:
    """The port of the process `name`, which listens, with `Worker` and `create_app` of the named module.

    Its environment holds SITE, a folder within `folder`, and whatever else is given.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = Address("127.0.0.1", port - (name == "intake"), False, "", "", ())
    commands = {each.name: each.command for each in processes.programs(Layout(folder), where, pair)}
    command = [
        each.replace("webui.serving.PatientWorker", f"{application}.Worker") for each in commands[name][:-1]
    ]
    assert command != list(commands[name][:-1])
    whole = {**os.environ, "SITE": str(folder / "data"), "PYTHONPATH": str(ROOT), **environment}
    log = folder / "server.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*command, f"{application}:create_app()"], env=whole, stderr=errors, start_new_session=True
        )

    def listens() -> bool:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError):
            connect(port).close()
            return True
        return False

    try:
        until(listens, NEVER_SECONDS)
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
    assert "Traceback" not in log.read_text()


@contextlib.contextmanager
def browsers(
    folder: Path, name: str, application: str, *, tls: bool = False, **environment: str
) -> Iterator[Callable[..., socket.socket]]:
    """Serves, and opens connections: `browser()`, with `handshake=False` one that has not begun its TLS."""
    pair = certificate.ensure(folder, ["127.0.0.1"]) if tls else None
    context = ssl.create_default_context(cafile=str(pair.certificate)) if pair else None
    with contextlib.ExitStack() as held:
        port = held.enter_context(serving(folder, name, application, pair, **environment))

        def browser(*, handshake: bool = True) -> socket.socket:
            raw = held.enter_context(connect(port))
            if context is None or not handshake:
                return raw
            return held.enter_context(context.wrap_socket(raw, server_hostname="127.0.0.1"))

        yield browser


def read_answer(browser: socket.socket) -> tuple[bytes, bytes]:
    """Headers and whatever follows them until the server closes."""
    whole = b""
    with contextlib.suppress(OSError):
        while piece := browser.recv(1 << 16):
            whole += piece
    head, _, body = whole.partition(b"\r\n\r\n")
    return head, body
