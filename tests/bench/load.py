"""The cheapest client: one thread, raw sockets, epoll. Many connections, each with one request at a time."""

from __future__ import annotations

import heapq
import resource
import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

ANSWER_BYTES = 64 * 1024
STALLED_SECONDS = 30.0

Request = tuple[bytes, bytes]  # head with its empty line, body


@dataclass
class Outcome:
    """What a run saw: seconds from the moment a request was due to the end of its answer, and the rest."""

    seconds: float = 0.0
    bytes: int = 0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    client_cpu: float = 0.0

    @property
    def rate(self) -> float:
        """Body megabytes (10⁶) a second."""
        return self.bytes / 1e6 / self.seconds


class _Connection:
    def __init__(self, port: int, source: Iterator[Request]) -> None:
        self.source = source
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.waiting: list[memoryview] = []
        self.answer = bytearray()
        self.due = 0.0
        self.size = 0

    def take_next(self, due: float) -> bool:
        """Prepare the next request; False when there is none left."""
        request = next(self.source, None)
        if request is None:
            return False
        self.due, self.size = due, len(request[1])
        self.waiting = [memoryview(part) for part in request if part]
        self.answer.clear()
        return True

    def send(self) -> bool:
        """Send what the kernel takes; True when all is sent."""
        try:
            sent = self.socket.sendmsg(self.waiting)
        except BlockingIOError:
            return False
        while self.waiting and sent >= len(self.waiting[0]):
            sent -= len(self.waiting.pop(0))
        if sent:
            self.waiting[0] = self.waiting[0][sent:]
        return not self.waiting

    def receive(self) -> int | None:
        """The status once the answer is whole. Raises ConnectionError when the server hung up."""
        try:
            data = self.socket.recv(ANSWER_BYTES)
        except BlockingIOError:
            return None
        if not data:
            raise ConnectionError("the server hung up")
        self.answer += data
        end = self.answer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = bytes(self.answer[:end]).lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        return int(head[9:12]) if len(self.answer) >= end + 4 + length else None


def drive(port: int, sources: Sequence[Iterator[Request]], interval: float = 0.0) -> Outcome:
    """Run every source to its end, each over a kept connection to 127.0.0.1:`port`.

    Without `interval` each sends as soon as it has its answer. With it, each is due every `interval` seconds,
    the sources spread evenly over the first, and latencies count from that moment even when the answer before
    was late.
    """
    outcome, selector = Outcome(), selectors.EpollSelector()
    connections = [_Connection(port, source) for source in sources]
    used = resource.getrusage(resource.RUSAGE_SELF)
    begun = time.monotonic()
    agenda = [(begun + interval * i / len(connections), i) for i in range(len(connections))]
    live = len(connections)
    while True:
        now = time.monotonic()
        while agenda and agenda[0][0] <= now:
            due, i = heapq.heappop(agenda)
            if connections[i].take_next(due):
                _push(selector, connections[i], i)
            else:
                live -= 1
        if not live:
            break
        pause = max(0.0, agenda[0][0] - time.monotonic()) if agenda else STALLED_SECONDS
        ready = selector.select(pause)
        if not ready and not agenda:
            raise TimeoutError(f"{live} connections got no answer for {STALLED_SECONDS:.0f} s")
        for key, events in ready:
            i, connection = key.data, connections[key.data]
            if events & selectors.EVENT_WRITE and connection.waiting and connection.send():
                selector.modify(connection.socket, selectors.EVENT_READ, i)
            if not events & selectors.EVENT_READ or (status := connection.receive()) is None:
                continue
            selector.unregister(connection.socket)
            ended = time.monotonic()
            outcome.statuses[status] += 1
            outcome.bytes += connection.size
            outcome.latencies.append(ended - connection.due)
            heapq.heappush(agenda, (connection.due + interval if interval else ended, i))
    outcome.seconds = time.monotonic() - begun
    spent = resource.getrusage(resource.RUSAGE_SELF)
    outcome.client_cpu = spent.ru_utime + spent.ru_stime - used.ru_utime - used.ru_stime
    for connection in connections:
        connection.socket.close()
    selector.close()
    return outcome


def _push(selector: selectors.EpollSelector, connection: _Connection, i: int) -> None:
    """Send at once; only what the kernel does not take waits for the socket."""
    everything = connection.send()
    events = selectors.EVENT_READ if everything else selectors.EVENT_READ | selectors.EVENT_WRITE
    selector.register(connection.socket, events, i)
