"""A real gunicorn with the product's arguments, and browsers that stop half-way."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from gunicorn.workers import gthread

from appliance.embedded import certificate, processes
from appliance.embedded.address import Address
from appliance.embedded.layout import Layout
from tests.support.intake_site import IntakeSite
from webui.intake import app as intake
from webui.serving import PatientWorker

ROOT = Path(__file__).parents[2]
HALF_BODY = (
    b"POST /intake/recordings/11111111-1111-4111-8111-111111111111/begin HTTP/1.1\r\n"
    b"Host: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{"
)
HALF_HEAD = b"GET /intake/ping HTTP/1.1\r\nHost:"
PING = b"GET /intake/ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class HastyWorker(PatientWorker):
    seconds = 0.5


def create_app() -> Flask:
    gthread.DEFAULT_WORKER_DATA_TIMEOUT = 0.2  # gunicorn's own patience with a body that no one reads
    return intake.create_app(IntakeSite(Path(os.environ["SITE"])).settings)


@contextlib.contextmanager
def serving(folder: Path, name: str, pair: certificate.Certificate | None) -> Iterator[int]:
    """The port of the process `name`, with a short patience and the intake application in it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = Address("127.0.0.1", port - (name == "intake"), False, "", "", ())
    commands = {each.name: each.command for each in processes.programs(Layout(folder), where, pair)}
    command = [
        each.replace("webui.serving.PatientWorker", f"{__name__}.HastyWorker") for each in commands[name][:-1]
    ]
    assert command != list(commands[name][:-1])
    environment = {**os.environ, "SITE": str(folder / "data"), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [*command, f"{__name__}:create_app()"], env=environment, start_new_session=True
    )
    try:
        yield port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def connect(port: int, attempts: int = 1) -> socket.socket:
    """A connection, once the server listens."""
    for _ in range(attempts - 1):
        with contextlib.suppress(OSError):
            return socket.create_connection(("127.0.0.1", port), 20)
        with contextlib.suppress(TimeoutError), socket.socket() as pause:
            pause.bind(("127.0.0.1", 0))
            pause.listen()
            pause.settimeout(0.1)
            pause.accept()
    return socket.create_connection(("127.0.0.1", port), 20)


@pytest.mark.parametrize(
    ("name", "tls", "half"),
    [("intake", False, HALF_BODY), ("intake", True, HALF_HEAD), ("staff", False, HALF_BODY)],
)
def test_half_sent_requests_do_not_stop_the_others(tmp_path: Path, name: str, tls: bool, half: bytes) -> None:
    pair = certificate.ensure(tmp_path, ["127.0.0.1"]) if tls else None
    context = ssl.create_default_context(cafile=str(pair.certificate)) if pair else None

    def browser(attempts: int = 1) -> socket.socket:
        raw = connect(port, attempts)
        return context.wrap_socket(raw, server_hostname="127.0.0.1") if context else raw

    def ping(browser: socket.socket) -> bytes:
        browser.sendall(PING)
        return browser.recv(4096)

    with contextlib.ExitStack() as held:
        port = held.enter_context(serving(tmp_path, name, pair))
        kept = held.enter_context(browser(attempts=200))
        assert ping(kept).startswith(b"HTTP/1.1 200")
        kept.sendall(half)  # on a kept connection as well
        for _ in range(39):
            stalled = held.enter_context(connect(port))
            if context is None:
                stalled.sendall(half)
            else:
                stalled.sendall(b"\x16\x03\x01\x02\x00")  # the handshake itself stops half-way
        last = held.enter_context(browser())
        assert ping(last).startswith(b"HTTP/1.1 200")
