"""A line between a client and a server that loses what it is told to lose."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Line:
    """Passes bytes on to `target` on loopback. `port` is its own.

    Each (pattern, bytes) of `losses` meets one request whose head the pattern finds: the server gets it, and
    of its answer only so many bytes come back before the connection breaks.
    """

    target: int
    port: int = 0
    losses: list[tuple[bytes, int]] = field(default_factory=list)

    def serve(self, listening: socket.socket) -> None:
        """Take connections until the socket is closed."""
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        allowed: list[int] = []
        with (
            client,
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.target)) as server,
        ):
            back = threading.Thread(target=self._answers, args=(server, client, allowed), daemon=True)
            back.start()
            while data := client.recv(65536):
                if head := re.match(rb"(GET|PUT|POST|HEAD|DELETE) [^\r]*", data):
                    allowed += self._lost(head[0])
                server.sendall(data)

    def _lost(self, head: bytes) -> list[int]:
        for loss in self.losses:
            if re.search(loss[0], head):
                self.losses.remove(loss)
                return [loss[1]]
        return []

    def _answers(self, server: socket.socket, client: socket.socket, allowed: list[int]) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if allowed:
                    client.sendall(data[: allowed[0]])
                    allowed[0] -= len(data)
                    if allowed[0] <= 0:
                        client.shutdown(socket.SHUT_RDWR)
                        server.shutdown(socket.SHUT_RDWR)
                        return
                else:
                    client.sendall(data)


@contextlib.contextmanager
def line_to(target: int) -> Iterator[Line]:
    """A line to a port of this machine, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        line = Line(target, listening.getsockname()[1])
        threading.Thread(target=line.serve, args=(listening,), daemon=True).start()
        yield line
        listening.shutdown(socket.SHUT_RDWR)
