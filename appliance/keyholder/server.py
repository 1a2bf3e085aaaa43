"""The keyholder's socket: one line in, one line out, for processes of its own Unix user only."""

from __future__ import annotations

import json
import logging
import os
import socket
import socketserver
import struct
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any

from appliance.errors import FupanError, InvalidInputError, KeyholderDownError
from appliance.keyholder.answers.desk import Peer
from appliance.keyholder.service import Service
from appliance.keyholder.wire import MAX_LINE_BYTES, encode_error

IDLE_SECONDS = 30.0
MAX_CONNECTIONS = 64

logger = logging.getLogger(__name__)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Serves until `shutdown`. The socket is 0600; the kernel names each peer and `allowed` lists the users
    that are answered (by default only this process' own)."""

    daemon_threads = True
    request_queue_size = MAX_CONNECTIONS

    def __init__(self, path: Path, service: Service, allowed: Collection[int] | None = None) -> None:
        self.service = service
        self.allowed = frozenset((os.geteuid(),) if allowed is None else allowed)
        self.places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # The journal's lock has shown that no other keyholder runs: a socket that is here is a leftover.
        path.unlink(missing_ok=True)
        previous = os.umask(0o177)
        try:
            super().__init__(str(path), _Connection)
        finally:
            os.umask(previous)

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.exception("a connection ended in an unforeseen error")


class _Connection(socketserver.StreamRequestHandler):
    server: Server
    timeout = IDLE_SECONDS

    def handle(self) -> None:
        if not self.server.places.acquire(blocking=False):
            return
        try:
            peer = _peer_of(self.connection)
            while (line := self._line()) is not None:
                self.wfile.write(_encode(self._answer(line, peer)))
                if peer.uid not in self.server.allowed:
                    break
        except (TimeoutError, ConnectionError):
            pass  # a peer that went away needs no answer
        finally:
            self.server.places.release()

    def _line(self) -> bytes | None:
        line = self.rfile.readline(MAX_LINE_BYTES + 1)
        if not line.endswith(b"\n"):
            if len(line) > MAX_LINE_BYTES:
                self.wfile.write(_encode(encode_error(InvalidInputError(what="the request is too long"))))
            return None
        return line

    def _answer(self, line: bytes, peer: Peer) -> dict[str, Any]:
        try:
            if peer.uid not in self.server.allowed:
                raise self.server.service.turn_away(peer)
            return {"ok": self.server.service.answer(line, peer)}
        except FupanError as error:
            return encode_error(error)
        except Exception:
            # one request must not end the process, and its details are for the log only
            logger.exception("a request ended in an unforeseen error")
            return encode_error(KeyholderDownError())


def _peer_of(connection: socket.socket) -> Peer:
    size = struct.calcsize("3i")
    pid, uid, _gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return Peer(pid, uid)


def _encode(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode() + b"\n"
