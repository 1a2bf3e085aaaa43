"""What the keyholder knows by itself of marks and legal holds: it read each on the log and wrote it down.

So a database that was put back to an earlier day, or another one, brings no erasure: a mark counts from the
moment at which it was written down here, and a hold until its lifting was.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import threading
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select

from appliance.audit.log import Action
from appliance.tables import audit_event

HEED = "heed"
_BY_PEOPLE = frozenset({Action.ERASE_MARK, Action.ERASE_WITHDRAW, Action.ERASE_HOLD})
ACTIONS = _BY_PEOPLE | {Action.ERASE_CONFIRM, Action.ERASE_LIFT}  # these two at the server's console as well


@dataclass(frozen=True)
class Mark:
    """A person, or some of their recordings, that somebody marked; `at`: when this keyholder read of it."""

    id: uuid.UUID
    at: dt.datetime
    person: uuid.UUID
    whole: bool
    recordings: frozenset[uuid.UUID]
    basis: str
    case: str


@dataclass
class Heeded:
    """Adds up journal entries. Safe across threads for adding; what is read is a snapshot of the moment."""

    marks: dict[uuid.UUID, Mark] = field(default_factory=dict)
    withdrawn: set[uuid.UUID] = field(default_factory=set)
    holds: dict[uuid.UUID, uuid.UUID] = field(default_factory=dict)  # hold → person or recording
    lifted: set[uuid.UUID] = field(default_factory=set)
    confirmed: dt.datetime | None = None
    _events: set[uuid.UUID] = field(default_factory=set)
    _looked_to: int = 0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, entries: Iterable[Mapping[str, Any]]) -> Heeded:
        """From the journal."""
        made = cls()
        for entry in entries:
            if entry["op"] == HEED and "refused" not in entry:
                made.add(entry)
        return made

    @property
    def standing(self) -> dict[uuid.UUID, uuid.UUID]:
        """Each hold that was not lifted, and the person or recording under it."""
        return {hold: kept for hold, kept in list(self.holds.items()) if hold not in self.lifted}

    def add(self, entry: Mapping[str, Any]) -> None:
        """One entry of the journal."""
        with self._guard:
            self._events.add(uuid.UUID(entry["event"]))
            about, details = uuid.UUID(entry["about"]), entry["details"]
            at = dt.datetime.fromisoformat(entry["at"])
            match entry["action"]:
                case Action.ERASE_MARK:
                    self.marks[about] = _mark(about, at, details)
                case Action.ERASE_WITHDRAW:
                    self.withdrawn.add(about)
                case Action.ERASE_HOLD:
                    self.holds[about] = uuid.UUID(details.get("person") or details["recording"])
                case Action.ERASE_LIFT:
                    self.lifted.add(about)
                case Action.ERASE_CONFIRM:
                    self.confirmed = at

    def news(self, tx: Connection) -> list[dict[str, Any]]:
        """What stands on the log and is not written down yet, in order, as entries without their moment."""
        newest = (
            tx.scalar(select(func.max(audit_event.c.seq)).where(audit_event.c.action.like("erase:%"))) or 0
        )
        after = self._looked_to if newest >= self._looked_to else 0  # else it was put back meanwhile
        rows = tx.execute(
            select(audit_event.c.seq, audit_event.c.id, audit_event.c.body, audit_event.c.hash)
            .where(audit_event.c.action.like("erase:%"), audit_event.c.seq > after)
            .order_by(audit_event.c.seq)
        ).all()
        new = [row for row in rows if row.id not in self._events]
        found = [entry for row in new if (entry := _entry(row.id, row.body, bytes(row.hash)))]
        if not found:
            self._looked_to = newest
        return found


def _mark(mark: uuid.UUID, at: dt.datetime, details: Mapping[str, Any]) -> Mark:
    return Mark(
        mark,
        at,
        uuid.UUID(details["person"]),
        details["whole"] is True,
        frozenset(map(uuid.UUID, details["recordings"])),
        details["basis"],
        details["case"],
    )


def _entry(event: uuid.UUID, body: str, digest: bytes) -> dict[str, Any] | None:
    """One event as it is written down; None for what orders nothing, or is not what it should be."""
    if hashlib.sha256(body.encode()).digest() != digest:
        return None
    told = json.loads(body)
    about, by = told["event"], told["by"]
    if about["action"] not in ACTIONS or about["outcome"] != "ok" or by != "fupan_staff":
        return None
    if about["actor"]["kind"] != "account" and about["action"] in _BY_PEOPLE:
        return None
    entry = {
        "event": str(event),
        "hash": digest.hex(),
        "action": about["action"],
        "about": about["object"]["id"],
        "details": about.get("details", {}),
    }
    try:
        Heeded().add({**entry, "at": told["at"]})
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
    return entry
