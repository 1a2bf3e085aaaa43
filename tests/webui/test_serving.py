"""A real gunicorn with the product's arguments, and browsers that stop half-way."""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask, Response, request
from gunicorn.workers import gthread

from appliance.embedded import certificate, processes
from appliance.embedded.address import Address
from appliance.embedded.layout import Layout
from tests.support.intake_site import IntakeSite
from webui import auth
from webui.intake import app as intake
from webui.serving import Pace, PatientWorker
from webui.staff import ranges

ROOT = Path(__file__).parents[2]
HALF_BODY = (
    b"POST /intake/recordings/11111111-1111-4111-8111-111111111111/begin HTTP/1.1\r\n"
    b"Host: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{"
)
HALF_HEAD = b"GET /intake/ping HTTP/1.1\r\nHost:"
PING = b"GET /intake/ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


MEDIA = random.Random(7).randbytes(12 << 20)  # more than two sockets hold


class Worker(PatientWorker):
    pace = Pace(silence=0.5, head=0.5, longest=4.0)


def create_app() -> Flask:
    gthread.DEFAULT_WORKER_DATA_TIMEOUT = 0.2  # gunicorn's own patience with a body that no one reads
    app = intake.create_app(IntakeSite(Path(os.environ["SITE"])).settings)
    app.add_url_rule("/media", "media", auth.public(media))
    app.add_url_rule("/seen", "seen", auth.public(seen))
    app.add_url_rule("/taken", "taken", auth.public(lambda: str(len(request.get_data()))), methods=["POST"])
    return app


def seen() -> dict[str, str]:
    """Where the application believes that it is."""
    return {name: request.environ.get(name, "") for name in ("SCRIPT_NAME", "PATH_INFO", "wsgi.url_scheme")}


def media() -> Response:
    """Bytes by range, in pieces, as a track is replayed."""

    def pieces(start: int, end: int) -> Iterator[bytes]:
        for at in range(start, end, 1 << 18):
            yield MEDIA[at : min(end, at + (1 << 18))]

    return ranges.answer(pieces, len(MEDIA), "video/webm", "tag", request.headers.get("Range"), None)


@contextlib.contextmanager
def serving(
    folder: Path, name: str, pair: certificate.Certificate | None, application: str = __name__
) -> Iterator[int]:
    """The port of the process `name`, with a short patience and the module's `create_app` in it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = Address("127.0.0.1", port - (name == "intake"), False, "", "", ())
    commands = {each.name: each.command for each in processes.programs(Layout(folder), where, pair)}
    command = [
        each.replace("webui.serving.PatientWorker", f"{application}.Worker") for each in commands[name][:-1]
    ]
    assert command != list(commands[name][:-1])
    environment = {**os.environ, "SITE": str(folder / "data"), "PYTHONPATH": str(ROOT)}
    log = folder / "server.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*command, f"{application}:create_app()"], env=environment, stderr=errors, start_new_session=True
        )
    try:
        yield port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
    assert "Traceback" not in log.read_text()


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


def trickled(browser: socket.socket, data: bytes, pause: threading.Event) -> float:
    """Seconds until the server has had enough of a byte every 50 ms."""
    started = time.monotonic()
    for byte in data:
        try:
            browser.sendall(bytes([byte]))
            if select.select([browser], [], [], 0)[0]:
                break
        except OSError:
            break
        if pause.wait(0.05):
            break
    return time.monotonic() - started


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("body", [False, True])
def test_a_browser_that_trickles_is_cut_off_and_its_thread_is_free(
    tmp_path: Path, tls: bool, body: bool
) -> None:
    pair = certificate.ensure(tmp_path, ["127.0.0.1"]) if tls else None
    context = ssl.create_default_context(cafile=str(pair.certificate)) if pair else None
    with contextlib.ExitStack() as held:
        port = held.enter_context(serving(tmp_path, "intake", pair))

        def browser(attempts: int = 1) -> socket.socket:
            raw = held.enter_context(connect(port, attempts))
            return (
                held.enter_context(context.wrap_socket(raw, server_hostname="127.0.0.1")) if context else raw
            )

        browser(attempts=200)
        crawling = browser()
        head = b"POST /taken HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10000\r\n\r\n"
        if body:
            crawling.sendall(head)
        seconds = trickled(crawling, head * 10, threading.Event())
        assert seconds < 3.0


def test_a_slow_line_that_keeps_the_pace_is_served(tmp_path: Path) -> None:
    """64 kbit/s: 8000 bytes a second, for longer than headers may take."""
    size = 16_000
    with contextlib.ExitStack() as held:
        port = held.enter_context(serving(tmp_path, "intake", None))
        slow = held.enter_context(connect(port, 200))
        slow.sendall(f"POST /taken HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {size}\r\n\r\n".encode())
        pause = threading.Event()
        for _ in range(size // 800):
            slow.sendall(bytes(800))
            pause.wait(0.1)
        answer = slow.recv(4096)
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(str(size).encode())
        slow.sendall(PING)  # and the connection is kept
        assert slow.recv(4096).startswith(b"HTTP/1.1 200")


def read_answer(browser: socket.socket) -> tuple[bytes, bytes]:
    """Headers and whatever follows them until the server closes."""
    whole = b""
    with contextlib.suppress(OSError):
        while piece := browser.recv(1 << 16):
            whole += piece
    head, _, body = whole.partition(b"\r\n\r\n")
    return head, body


@pytest.mark.parametrize("tls", [False, True])
def test_a_paused_player_is_cut_off_and_goes_on_by_range(tmp_path: Path, tls: bool) -> None:
    """A video element that is paused stops reading; when played, it asks for the rest by range."""
    pair = certificate.ensure(tmp_path, ["127.0.0.1"]) if tls else None
    context = ssl.create_default_context(cafile=str(pair.certificate)) if pair else None
    with contextlib.ExitStack() as held:
        port = held.enter_context(serving(tmp_path, "intake", pair))

        def browser(attempts: int = 1) -> socket.socket:
            raw = held.enter_context(connect(port, attempts))
            return (
                held.enter_context(context.wrap_socket(raw, server_hostname="127.0.0.1")) if context else raw
            )

        player = browser(200)
        player.sendall(b"GET /media HTTP/1.1\r\nHost: 127.0.0.1\r\nRange: bytes=0-\r\n\r\n")
        threading.Event().wait(
            2.0
        )  # nothing to wait for: the player does nothing, for longer than the patience
        head, body = read_answer(player)
        assert head.startswith(b"HTTP/1.1 206")
        assert 0 < len(body) < len(MEDIA)
        assert MEDIA.startswith(body)
        again = browser()
        request_line = b"GET /media HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        again.sendall(request_line + f"Range: bytes={len(body)}-\r\n\r\n".encode())
        head, rest = read_answer(again)
        assert head.startswith(b"HTTP/1.1 206")
        assert body + rest == MEDIA


def test_browsers_that_do_not_close_their_side_hold_up_nobody(tmp_path: Path) -> None:
    with contextlib.ExitStack() as held:
        port = held.enter_context(serving(tmp_path, "staff", None))
        held.enter_context(connect(port, 200))
        for _ in range(20):
            lingering = held.enter_context(connect(port))
            lingering.sendall(b"GET /intake/ping HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            assert lingering.recv(4096).startswith(b"HTTP/1.1 200")
        started = time.monotonic()
        last = held.enter_context(connect(port))
        last.sendall(PING)
        assert last.recv(4096).startswith(b"HTTP/1.1 200")
        assert time.monotonic() - started < 2.0


PLACES = (
    "SCRIPT_NAME: /evil", "PATH_INFO: /x", "Script-Name: /evil", "Path-Info: /x",
    "X-Forwarded-Proto: https", "X-Forwarded-Protocol: ssl", "X-Forwarded-Ssl: on",
)  # fmt: skip


@pytest.mark.parametrize("name", ["staff", "intake"])
def test_the_server_believes_no_header_about_where_it_is(tmp_path: Path, name: str) -> None:
    """A request from this machine is no proxy's: who stands before the site is `trusted_proxies` to say."""
    with serving(tmp_path, name, None) as port:
        for header in PLACES:
            ask = f"GET /seen HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{header}\r\n\r\n"
            with connect(port, 100) as browser:
                browser.sendall(ask.encode())
                _, body = read_answer(browser)
            told = json.loads(body)
            assert told == {"SCRIPT_NAME": "", "PATH_INFO": "/seen", "wsgi.url_scheme": "http"}, header
