"""The gunicorn worker of both web processes: a browser that stops or crawls does not keep its thread."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gunicorn import util
from gunicorn.http.errors import NoMoreData
from gunicorn.http.message import Request
from gunicorn.http.unreader import SocketUnreader
from gunicorn.workers.gthread import TConn, ThreadWorker

# Closed connections whose browser has not closed its side: each waits two seconds in a thread of its own.
MAX_CLOSING = 32
_closing = threading.BoundedSemaphore(MAX_CLOSING)


@dataclass(frozen=True)
class Pace:
    """How slow a browser may be, in seconds; a line of 64 kbit/s sends four times the least rate.

    `silence`: without a byte sent or taken. `head`: for a request's headers. A body has `head` seconds, more
    as it grows (`bytes_per_second`), `longest` at most: the candidate's page gives up on a piece after 60 s.
    """

    silence: float = 30.0
    head: float = 30.0
    bytes_per_second: float = 2000.0
    longest: float = 120.0


@contextlib.contextmanager
def _gone_when_silent() -> Iterator[None]:
    """A paused player is cut off so, and asks for the rest by range: nothing for an error log to tell."""
    try:
        yield
    except TimeoutError as error:
        raise BrokenPipeError(errno.EPIPE, "nothing was taken or sent for too long") from error


class _PatientSocket(socket.socket):
    """Blocking means waiting as long as `pace` allows. A TLS socket made of it begins with the same limit."""

    pace = Pace()

    def setblocking(self, flag: bool) -> None:
        self.settimeout(self.pace.silence if flag else 0.0)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """The silence counts from each part taken, as on a TLS socket: a slow line takes long for a piece."""
        left = memoryview(data)
        ends = time.monotonic() + self.pace.silence + len(left) / self.pace.bytes_per_second
        while left:
            left = left[self.send(left, flags) :]
            if left and time.monotonic() > ends:
                raise TimeoutError("the browser takes too little")


class _PacedUnreader(SocketUnreader):
    """Reads from a browser while it keeps the pace; from then on it is as if the browser had gone.

    A body that ends too early is an error (NoMoreData), never a shorter body: half a form is a form as well.
    """

    def __init__(self, sock: socket.socket, pace: Pace) -> None:
        super().__init__(sock)
        self._pace = pace
        self.gone = False
        self.request_begins()

    def request_begins(self) -> None:
        self._started, self._taken, self._in_body = time.monotonic(), 0, False

    def body_begins(self) -> None:
        self._started, self._taken, self._in_body = time.monotonic(), 0, True

    def _left(self) -> float:
        allowed = self._pace.head
        if self._in_body:
            allowed = min(allowed + self._taken / self._pace.bytes_per_second, self._pace.longest)
        return self._started + allowed - time.monotonic()

    def chunk(self, size_hint: int | None = None) -> bytes:
        """What has come; b"" when nothing more will. A body is asked only for what it still lacks."""
        data = self._data(size_hint)
        self._taken += len(data)
        self.gone = not data
        if self.gone and self._in_body:
            raise NoMoreData
        return data

    def _data(self, size_hint: int | None) -> bytes:
        left, limit = self._left(), self.sock.gettimeout()
        if self.gone or left <= 0:
            return b""
        try:
            self.sock.settimeout(left if limit is None else min(left, limit))
            return bytes(super().chunk(size_hint))
        except TimeoutError:
            return b""
        finally:
            self.sock.settimeout(limit)


class _Connection(TConn):
    def __init__(self, pace: Pace, *about: object) -> None:
        self.pace = pace
        self.reader: _PacedUnreader | None = None
        super().__init__(*about)

    def init(self) -> None:
        """Called before each request, after the worker has made the socket blocking."""
        with _gone_when_silent():
            super().init()
        self.sock.settimeout(self.pace.silence)
        if self.reader is None:
            self.reader = _PacedUnreader(self.sock, self.pace)
            self.reader.unread(self.parser.unreader.take_buffered())
            self.parser.unreader = self.reader
        self.reader.request_begins()

    def close(self, graceful: bool = False) -> None:
        """Called by the thread that accepts for all: it must not wait until this browser closes its side."""
        if graceful and _closing.acquire(blocking=False):
            threading.Thread(target=self._close_gracefully, daemon=True).start()
        else:
            util.close(self.sock)

    def _close_gracefully(self) -> None:
        try:
            with (
                contextlib.suppress(OSError),
                contextlib.closing(self.sock),
            ):  # it may have been closed before
                self.sock.setblocking(True)
                util.close_graceful(self.sock)
        finally:
            _closing.release()


class PatientWorker(ThreadWorker):
    """Gives up on a browser that does not keep the pace, also within TLS."""

    pace = Pace()

    def accept(self, listener: socket.socket) -> None:
        """As gthread's own, with a socket that does not wait for ever."""
        try:
            accepted, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.ECONNABORTED):
                return
            raise
        client = _PatientSocket(fileno=accepted.detach())
        client.pace = self.pace
        self.nr_conns += 1
        self.enqueue_req(_Connection(self.pace, self.cfg, client, address, listener.getsockname()))

    def handle_request(self, req: Request, conn: _Connection) -> bool:
        """The headers are here: from now on the browser is measured by its body."""
        assert conn.reader is not None
        conn.reader.body_begins()
        with _gone_when_silent():
            return bool(super().handle_request(req, conn)) and not conn.reader.gone
