"""What the families of operations share: the keys, the journal, and recording each use before its answer."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from appliance.config import Settings
from appliance.errors import KeyholderDownError
from appliance.keyholder.clock import Clock
from appliance.keyholder.custody import Custody
from appliance.keyholder.journal import Journal
from appliance.keyholder.wire import Request

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Peer:
    """The process at the other end of the socket, as the kernel names it."""

    pid: int
    uid: int


Operation = Callable[[Request, Peer], Any]


def record(journal: Journal, operation: str, peer: Peer, entry: dict[str, Any]) -> None:
    """Put one entry on disk. Raises KeyholderDownError when that is not possible."""
    try:
        journal.append({"op": operation, "pid": peer.pid, "uid": peer.uid, **entry})
    except OSError as error:
        logger.error("the journal cannot be written: %s", error)
        raise KeyholderDownError() from error


@dataclass(frozen=True)
class Desk:
    """One keyholder's means."""

    settings: Settings
    custody: Custody
    journal: Journal
    clock: Clock = field(default_factory=Clock)

    def record(self, operation: str, peer: Peer, entry: dict[str, Any]) -> None:
        """On disk before the answer; a use that cannot be recorded does not happen."""
        record(self.journal, operation, peer, entry)

    def alarm(self, kind: str, peer: Peer, **about: str | int) -> None:
        """Something that people must hear of: a line of the journal, which a job carries to the audit log."""
        logger.error("alarm: %s %s", kind, about)
        self.record("alarm", peer, {"alarm": kind, "id": str(uuid.uuid4()), "about": about})

    def done(self) -> Iterator[dict[str, Any]]:
        """What the journal says was done, oldest first."""
        return (entry for entry in self.journal.entries() if "refused" not in entry)
