"""What the families of operations share: the keys, the journal, and recording each use before its answer."""

from __future__ import annotations

import logging
import math
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from appliance.audit.log import Action
from appliance.config import Settings
from appliance.errors import KeyholderDownError, KeyRefusedError, TooManyKeysError
from appliance.keyholder import gate
from appliance.keyholder.ceremony import Ceremonies
from appliance.keyholder.clock import Clock
from appliance.keyholder.custody import Custody
from appliance.keyholder.journal import Journal
from appliance.keyholder.keyring import Keyring
from appliance.keyholder.use_limits import UseLimits
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


def ordered(
    settings: Settings,
    journal: Journal,
    request: Request,
    peer: Peer,
    vault_id: uuid.UUID,
    action: Action,
    **details: Any,
) -> None:
    """Demand the event of an order, once, and put it into the journal before it is carried out.

    Raises KeyRefusedError, DatabaseDownError, KeyholderDownError.
    """
    event = request.uuid("event")
    digest = gate.demand_order(settings, action, vault_id, event, details)
    operation = request.operation
    with _ORDERS:
        used = (entry for entry in journal.entries() if "refused" not in entry and entry["op"] == operation)
        if any(entry.get("event") == str(event) for entry in used):
            raise KeyRefusedError(reason="the event was used before")
        record(journal, operation, peer, {"event": str(event), "hash": digest.hex(), **details})


_ORDERS = threading.Lock()


@dataclass(frozen=True)
class Desk:
    """One keyholder's means."""

    settings: Settings
    custody: Custody
    journal: Journal
    ceremonies: Ceremonies
    keyring: Keyring
    limits: UseLimits
    clock: Clock = field(default_factory=Clock)

    def within_limits(self, operation: str, peer: Peer, owner: uuid.UUID, unit: str, person: str) -> None:
        """Count a use before its key is made. Raises TooManyKeysError, which is in the journal, and an alarm
        once for each time that somebody reaches the limit."""
        exceeded = self.limits.ask(owner, unit, person)
        if exceeded is None:
            return
        about = {"unit": unit, "person": person} if person else {"unit": unit}
        self.record(operation, peer, {"refused": "too many recordings", "owner": str(owner), **about})
        if exceeded.first:
            self.alarm("bulk_use", peer, who=exceeded.who, limit=exceeded.limit, **about)
        minutes = math.ceil(exceeded.seconds / 60)
        raise TooManyKeysError(seconds=exceeded.seconds, minutes=minutes)

    def record(self, operation: str, peer: Peer, entry: dict[str, Any]) -> None:
        """On disk before the answer; a use that cannot be recorded does not happen."""
        record(self.journal, operation, peer, entry)

    def alarm(self, kind: str, peer: Peer, **about: str | int) -> None:
        """Something that people must hear of: a line of the journal, which a job carries to the audit log."""
        logger.error("alarm: %s %s", kind, about)
        self.record("alarm", peer, {"alarm": kind, "id": str(uuid.uuid4()), "about": about})

    def ordered(self, request: Request, peer: Peer, action: Action, **details: Any) -> None:
        """Demand the event of an order about this vault (`ordered`)."""
        ordered(self.settings, self.journal, request, peer, self.custody.vault_id, action, **details)

    def done(self) -> Iterator[dict[str, Any]]:
        """What the journal says was done, oldest first."""
        return (entry for entry in self.journal.entries() if "refused" not in entry)
