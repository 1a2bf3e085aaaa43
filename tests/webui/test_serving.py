"""A real gunicorn with the product's arguments, and browsers that stop half-way."""

from __future__ import annotations

import json
import os
import random
import select
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from flask import Flask, Response, request
from gunicorn.workers import gthread

from tests.support.intake_site import IntakeSite
from tests.support.serving import browsers, read_answer
from tests.support.waiting import until
from webui import auth
from webui.intake import app as intake
from webui.serving import Pace, PatientWorker
from webui.staff import ranges

HALF_BODY = (
    b"POST /intake/recordings/11111111-1111-4111-8111-111111111111/begin HTTP/1.1\r\n"
    b"Host: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{"
)
HALF_HEAD = b"GET /intake/ping HTTP/1.1\r\nHost:"
PING = b"GET /intake/ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
FORM = b"people=one%0Atwo%0Athree"
FORM_HEAD = (
    b"POST /form HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n" % len(FORM)
)
MEDIA = random.Random(7).randbytes(12 << 20)  # more than two sockets hold
# What a browser here does within one breath takes no second, however busy the machine is.
SHORT = Pace(silence=1.0, head=1.0, longest=4.0)
LINGER_SECONDS = 2.0  # gunicorn's own wait for a browser to close its side


class Worker(PatientWorker):
    pace = Pace(**json.loads(os.environ.get("PACE", "{}")))


def pace(given: Pace) -> str:
    return json.dumps(asdict(given))


def create_app() -> Flask:
    gthread.DEFAULT_WORKER_DATA_TIMEOUT = 0.2  # gunicorn's own patience with a body that no one reads
    app = intake.create_app(IntakeSite(Path(os.environ["SITE"])).settings)
    app.add_url_rule("/media", "media", auth.public(media))
    app.add_url_rule("/seen", "seen", auth.public(seen))
    app.add_url_rule("/taken", "taken", auth.public(lambda: str(len(request.get_data()))), methods=["POST"])
    app.add_url_rule("/form", "form", auth.public(form), methods=["POST"])
    return app


def noted(name: str) -> Path:
    """A file in which the application leaves what happened in it, whichever of its processes that was."""
    return Path(os.environ["SITE"]) / name


def seen() -> dict[str, str]:
    """Where the application believes that it is."""
    return {name: request.environ.get(name, "") for name in ("SCRIPT_NAME", "PATH_INFO", "wsgi.url_scheme")}


def form() -> str:
    """Does something with a field, as a page that invites people does."""
    noted("form").write_text(request.form["people"])
    return "done"


def media() -> Response:
    """Bytes by range, in pieces, as a track is replayed."""

    def pieces(start: int, end: int) -> Iterator[bytes]:
        try:
            for at in range(start, end, 1 << 18):
                yield MEDIA[at : min(end, at + (1 << 18))]
        finally:
            noted("answered").touch()

    return ranges.answer(pieces, len(MEDIA), "video/webm", "tag", request.headers.get("Range"), None)


def ping(browser: socket.socket) -> bytes:
    browser.sendall(PING)
    return browser.recv(4096)


@pytest.mark.parametrize(
    ("name", "tls", "half"),
    [("intake", False, HALF_BODY), ("intake", True, HALF_HEAD), ("staff", False, HALF_BODY)],
)
def test_half_sent_requests_do_not_stop_the_others(tmp_path: Path, name: str, tls: bool, half: bytes) -> None:
    with browsers(tmp_path, name, __name__, tls=tls, PACE=pace(SHORT)) as browser:
        kept = browser()
        assert ping(kept).startswith(b"HTTP/1.1 200")
        kept.sendall(half)  # on a kept connection as well
        for _ in range(39):
            # with TLS the handshake itself stops half-way
            browser(handshake=False).sendall(b"\x16\x03\x01\x02\x00" if tls else half)
        assert ping(browser()).startswith(b"HTTP/1.1 200")


def trickled(browser: socket.socket, data: bytes) -> int:
    """How many bytes, one every 50 ms, the server lets the browser send before it has had enough."""
    pause = threading.Event()
    for sent, byte in enumerate(data):
        try:
            browser.sendall(bytes([byte]))
            if select.select([browser], [], [], 0)[0]:
                return sent
        except OSError:
            return sent
        pause.wait(0.05)
    return len(data)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(
    "head",
    [
        b"POST /taken HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10000\r\n\r\n",
        b"GET /seen HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
    ],
    ids=["body", "head"],
)
def test_a_browser_that_trickles_is_cut_off(tmp_path: Path, tls: bool, head: bytes) -> None:
    """It would go on for half a minute and more; no answer could end it, for what it sends is never whole."""
    with browsers(tmp_path, "intake", __name__, tls=tls, PACE=pace(SHORT)) as browser:
        crawling = browser()
        crawling.sendall(head)
        assert trickled(crawling, b"x" * 600) < 600


def test_a_slow_line_that_keeps_the_pace_is_served(tmp_path: Path) -> None:
    """For longer than headers may take, at sixteen times the least rate."""
    least = Pace(silence=30.0, head=1.0, bytes_per_second=1000.0, longest=60.0)
    piece, size = bytes(1600), 32_000
    with browsers(tmp_path, "intake", __name__, PACE=pace(least)) as browser:
        slow = browser()
        slow.sendall(f"POST /taken HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {size}\r\n\r\n".encode())
        started, pause = time.monotonic(), threading.Event()
        for _ in range(size // len(piece)):
            slow.sendall(piece)
            pause.wait(0.1)
        assert time.monotonic() - started > least.head
        answer = slow.recv(4096)
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(str(size).encode())
        assert ping(slow).startswith(b"HTTP/1.1 200")  # and the connection is kept


@pytest.mark.parametrize("ending", ["closed", "silent"])
def test_a_form_that_is_cut_off_is_not_taken_for_a_shorter_one(tmp_path: Path, ending: str) -> None:
    taken = tmp_path / "data" / "form"
    with browsers(tmp_path, "staff", __name__, PACE=pace(SHORT)) as browser:
        cut = browser()
        cut.sendall(FORM_HEAD + FORM[:-8])
        if ending == "closed":
            cut.shutdown(socket.SHUT_WR)
        head, _ = read_answer(cut)
        assert head.startswith(b"HTTP/1.1 400")
        assert not taken.exists()
        whole = browser()
        whole.sendall(FORM_HEAD + FORM)
        assert read_answer(whole)[1] == b"done"
        assert taken.read_text() == "one\ntwo\nthree"


@pytest.mark.parametrize("tls", [False, True])
def test_a_paused_player_is_cut_off_and_goes_on_by_range(tmp_path: Path, tls: bool) -> None:
    """A video element that is paused stops reading; when played, it asks for the rest by range."""
    with browsers(tmp_path, "intake", __name__, tls=tls, PACE=pace(SHORT)) as browser:
        player = browser()
        player.sendall(b"GET /media HTTP/1.1\r\nHost: 127.0.0.1\r\nRange: bytes=0-\r\n\r\n")
        until((tmp_path / "data" / "answered").exists)
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
    count = 20
    with browsers(tmp_path, "staff", __name__, PACE=pace(SHORT)) as browser:
        started = time.monotonic()
        for _ in range(count):
            lingering = browser()
            lingering.sendall(b"GET /intake/ping HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            assert lingering.recv(4096).startswith(b"HTTP/1.1 200")
        assert ping(browser()).startswith(b"HTTP/1.1 200")
        assert time.monotonic() - started < count * LINGER_SECONDS / 2


PLACES = (
    "SCRIPT_NAME: /evil", "PATH_INFO: /x", "Script-Name: /evil", "Path-Info: /x",
    "X-Forwarded-Proto: https", "X-Forwarded-Protocol: ssl", "X-Forwarded-Ssl: on",
)  # fmt: skip


@pytest.mark.parametrize("name", ["staff", "intake"])
def test_the_server_believes_no_header_about_where_it_is(tmp_path: Path, name: str) -> None:
    """A request from this machine is no proxy's: who stands before the site is `trusted_proxies` to say."""
    with browsers(tmp_path, name, __name__) as browser:
        for header in PLACES:
            asking = browser()
            ask = f"GET /seen HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{header}\r\n\r\n"
            asking.sendall(ask.encode())
            _, body = read_answer(asking)
            told = json.loads(body)
            assert told == {"SCRIPT_NAME": "", "PATH_INFO": "/seen", "wsgi.url_scheme": "http"}, header
