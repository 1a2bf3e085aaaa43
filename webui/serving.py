"""The gunicorn worker of both web processes: a request that stops half-way does not keep its thread."""

from __future__ import annotations

import errno
import socket

from gunicorn.workers.gthread import TConn, ThreadWorker


class _PatientSocket(socket.socket):
    """Blocking means waiting `seconds`. A TLS socket made of it begins with the same time limit."""

    seconds = 0.0

    def setblocking(self, flag: bool) -> None:
        self.settimeout(self.seconds if flag else 0.0)


class _Connection(TConn):
    def __init__(self, seconds: float, *about: object) -> None:
        self.seconds = seconds
        super().__init__(*about)

    def init(self) -> None:
        """Called before each request, after the worker has made the socket blocking."""
        super().init()
        self.sock.settimeout(self.seconds)


class PatientWorker(ThreadWorker):
    """Gives up on a browser that neither sends nor takes a byte for `seconds`, also within TLS."""

    seconds = 30.0

    def accept(self, listener: socket.socket) -> None:
        """As gthread's own, with a socket that does not wait for ever."""
        try:
            accepted, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.ECONNABORTED):
                return
            raise
        client = _PatientSocket(fileno=accepted.detach())
        client.seconds = self.seconds
        self.nr_conns += 1
        self.enqueue_req(_Connection(self.seconds, self.cfg, client, address, listener.getsockname()))
