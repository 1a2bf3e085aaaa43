"""Which committed events give keys for documents that people keep: who, which documents, for some seconds.

A kind of document is one line of KINDS; the event's own action and details decide, never what is asked.
"""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from appliance.audit.log import Action
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import Owner, OwnerKind, RecordingState
from appliance.keyholder.gate import Committed, committed, person_of, refused
from appliance.tables import attempt, recording

# However far ahead an event says it expires, it opens nothing later than this.
LONGEST = dt.timedelta(seconds=60)
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@dataclass(frozen=True)
class Kind:
    """One kind of document: whose it is, what its first version is called, the actions that allow its use."""

    owner: OwnerKind
    name: str  # as a pattern; further versions are NAME.v2, NAME.v3 …
    keep: Action
    open: Action

    def named(self, name: str) -> bool:
        """Whether a file name is one of this kind's."""
        return re.fullmatch(rf"{self.name}(?:\.v[1-9][0-9]{{0,5}})?", name) is not None


KINDS = {
    "note": Kind(OwnerKind.RECORDING, f"note-{_UUID}", Action.NOTE_KEEP, Action.NOTE_OPEN),
    "resume": Kind(OwnerKind.PERSON, "resume", Action.RESUME_KEEP, Action.RESUME_OPEN),
}


@dataclass(frozen=True)
class DocumentUse:
    """A use of an owner's documents that the log allows now."""

    event_id: uuid.UUID
    event_hash: bytes
    owner: Owner
    purpose: str
    person: str
    names: frozenset[str]
    expires: dt.datetime


def demand_keep(settings: Settings, owner: Owner, event_id: uuid.UUID, name: str) -> DocumentUse:
    """The write of one document, which the event must name alone. Raises KeyRefusedError (with `reason`)
    and DatabaseDownError."""
    use = _demand(settings, owner, event_id, keep=True)
    if use.names != {name}:
        raise refused("the event allows another document")
    return use


def demand_open(settings: Settings, owner: Owner, event_id: uuid.UUID, names: Sequence[str]) -> DocumentUse:
    """The reading of documents, all of which the event must name. Raises as demand_keep does."""
    use = _demand(settings, owner, event_id, keep=False)
    if not use.names.issuperset(names):
        raise refused("the event allows other documents")
    return use


def _demand(settings: Settings, owner: Owner, event_id: uuid.UUID, *, keep: bool) -> DocumentUse:
    with transaction("keyholder", settings) as tx:
        found = committed(tx, event_id)
        details = found.body["event"].get("details", {})
        purpose = details.get("purpose")
        kind = KINDS.get(purpose) if isinstance(purpose, str) else None
        if kind is None or kind.owner is not owner.kind:
            raise refused("the event allows something else")
        _require_statement(found.body, kind.keep if keep else kind.open, details, owner)
        expires = _expiry(found, details)
        if expires <= found.now:
            raise refused("the event has expired")
        _require_owner(tx, owner)
    person = person_of(found.body)
    return DocumentUse(event_id, found.hash, owner, purpose, person, _names(details, kind), expires)


def _require_statement(body: dict[str, Any], action: Action, details: dict[str, Any], owner: Owner) -> None:
    event = body["event"]
    if event["action"] != action or event["outcome"] != "ok":
        raise refused("the event is not such an access")
    if details.get(owner.kind) != str(owner.id) or event["object"]["id"] != str(owner.id):
        raise refused("the event is about another owner")
    # The database says who wrote the event; the unit in its details is only a claim.
    if details.get("unit") != "staff" or body["by"] != "fupan_staff":
        raise refused("the event was written by another unit")
    if event["actor"]["kind"] != "account":
        raise refused("nobody who signed in did this")


def _expiry(found: Committed, details: dict[str, Any]) -> dt.datetime:
    latest = dt.datetime.fromisoformat(found.body["at"]) + LONGEST
    try:
        return min(dt.datetime.fromisoformat(details["expires"]), latest)
    except (KeyError, TypeError, ValueError):
        raise refused("the event has no expiry") from None


def _names(details: dict[str, Any], kind: Kind) -> frozenset[str]:
    names = details.get("documents")
    if not isinstance(names, list) or not all(isinstance(name, str) and kind.named(name) for name in names):
        raise refused("the event names no such documents")
    return frozenset(names)


def _require_owner(tx: Connection, owner: Owner) -> None:
    """A person is somebody who was invited; a recording has a key once it is sealed."""
    if owner.kind is OwnerKind.PERSON:
        known = select(attempt.c.id).where(attempt.c.candidate_id == owner.id).limit(1)
    else:
        sealed = recording.c.state == RecordingState.SEALED
        known = select(recording.c.id).where(recording.c.id == owner.id, sealed)
    if tx.scalar(known) is None:
        raise refused(f"there is no such {owner.kind}, or nothing of it is sealed yet")
