"""No event, no key: what a committed audit event must say before a key is given for it (docs/keys.md).

The event is read here, by the keyholder's own database role and on the primary; what the caller says about
it counts for nothing.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from appliance.audit.log import Action
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import AnalysisState, RecordingState
from appliance.errors import KeyRefusedError
from appliance.tables import analysis, attempt, audit_event, browser_key, position, recording, replay_view

# However far ahead an event says it expires, it opens nothing later than this.
LONGEST_USE = dt.timedelta(hours=12)
# An order to unlock is written the moment before it is given.
ORDER_SECONDS = 60
# How many events are asked for in one statement.
AT_ONCE = 5000
NEWEST_SHARES = 1000


@dataclass(frozen=True)
class Purpose:
    """One reason to use a key: the action that must be on the log, the unit that must have written it,
    and what it may ask for."""

    action: Action
    unit: str
    operations: frozenset[str]
    new_kinds: frozenset[str] = frozenset()


PURPOSES = {
    "replay": Purpose(Action.REPLAY_OPEN, "staff", frozenset({"file_keys"})),
    "seal": Purpose(
        Action.SEAL_RUN,
        "worker",
        frozenset({"create_recording_key", "file_keys", "new_file_keys", "epoch_keys"}),
        frozenset({"track", "document"}),
    ),
    "check": Purpose(Action.SEAL_CHECK, "worker", frozenset({"file_keys"})),
    "check-vault": Purpose(Action.VAULT_CHECK, "worker", frozenset({"file_keys"})),
    "repair": Purpose(
        Action.VAULT_REPAIR,
        "worker",
        frozenset({"file_keys", "new_file_keys"}),
        frozenset({"track", "document"}),
    ),
    "rebuild": Purpose(Action.VAULT_REBUILD, "worker", frozenset({"file_keys"})),
    "analyse": Purpose(
        Action.ANALYSE_RUN, "worker", frozenset({"file_keys", "new_file_keys"}), frozenset({"document"})
    ),
}


@dataclass(frozen=True)
class Committed:
    """An event that is on the log, its hash that of its body. `now` is the primary's clock."""

    seq: int
    hash: bytes
    body: dict[str, Any]
    now: dt.datetime


@dataclass(frozen=True)
class Use:
    """A use of keys that the log allows now. `person`: the account that acts, or empty; `browser_keys`: those
    pinned for the recording, 65 bytes."""

    event_id: uuid.UUID
    event_hash: bytes
    recording: uuid.UUID
    purpose: str
    unit: str
    person: str
    expires: dt.datetime
    department: uuid.UUID
    browser_keys: frozenset[bytes]


def demand(
    settings: Settings, operation: str, recording_id: uuid.UUID, event_id: uuid.UUID, purpose_name: str
) -> Use:
    """The use that a committed, live event allows. Raises KeyRefusedError (with `reason`) and
    DatabaseDownError."""
    purpose = PURPOSES.get(purpose_name)
    if purpose is None or operation not in purpose.operations:
        raise refused(f"{operation} is not for {purpose_name}")
    with transaction("keyholder", settings) as tx:
        found = committed(tx, event_id)
        _require_statement(found.body, purpose, purpose_name, recording_id)
        expires = _expiry(tx, found.body, found.seq, recording_id, purpose_name)
        if expires <= found.now:
            raise refused("the event has expired")
        return _use(tx, found, recording_id, event_id, purpose_name, purpose.unit, expires)


def demand_order(
    settings: Settings, action: Action, vault_id: uuid.UUID, event_id: uuid.UUID, details: dict[str, Any]
) -> bytes:
    """The hash of a committed, fresh event by which the staff's role orders this of this vault, with these
    among its details.

    Raises KeyRefusedError (with `reason`) and DatabaseDownError.
    """
    with transaction("keyholder", settings) as tx:
        found = committed(tx, event_id)
        body, event = found.body, found.body["event"]
        if event["action"] != action or event["outcome"] != "ok":
            raise refused(f"the event is no order to {action.split(':')[1]}")
        if body["by"] != "fupan_staff" or event["object"] != {"type": "vault", "id": str(vault_id)}:
            raise refused("the event orders something else")
        if not details.items() <= event.get("details", {}).items():
            raise refused("the event orders it otherwise")
        if found.now - dt.datetime.fromisoformat(body["at"]) > dt.timedelta(seconds=ORDER_SECONDS):
            raise refused("the event has expired")
        return found.hash


def demand_shares(settings: Settings, vault_id: uuid.UUID, ceremony: uuid.UUID, given: Iterable[int]) -> None:
    """Each share that was given in a ceremony must be on the log.

    Raises KeyRefusedError, DatabaseDownError.
    """
    query = (
        select(audit_event.c.body)
        .where(
            audit_event.c.action == Action.VAULT_SHARE,
            audit_event.c.object_type == "vault",
            audit_event.c.object_id == str(vault_id),
        )
        .order_by(audit_event.c.seq.desc())
        .limit(NEWEST_SHARES)
    )
    with transaction("keyholder", settings) as tx:
        recorded = set()
        for text in tx.scalars(query):
            body = json.loads(text)
            details = body["event"].get("details", {})
            if body["by"] == "fupan_staff" and body["event"]["outcome"] == "ok":
                recorded.add((details.get("ceremony"), details.get("index")))
    if any((str(ceremony), index) not in recorded for index in given):
        raise refused("a share that was given is not on the log")


def missing_events(settings: Settings, wanted: Iterable[uuid.UUID]) -> list[uuid.UUID]:
    """Which of these events are no longer on the log: after a restore, uses of keys that it forgot."""
    ids = sorted(set(wanted))
    kept: set[uuid.UUID] = set()
    with transaction("keyholder", settings) as tx:
        for start in range(0, len(ids), AT_ONCE):
            some = ids[start : start + AT_ONCE]
            kept.update(tx.scalars(select(audit_event.c.id).where(audit_event.c.id.in_(some))))
    return [event_id for event_id in ids if event_id not in kept]


def committed(tx: Connection, event_id: uuid.UUID) -> Committed:
    """The committed event with this id. Raises KeyRefusedError."""
    if tx.scalar(select(func.pg_is_in_recovery())):
        raise refused("not the primary database")
    now = tx.scalar(select(func.now()))
    assert now is not None
    row = tx.execute(
        select(audit_event.c.seq, audit_event.c.body, audit_event.c.hash).where(audit_event.c.id == event_id)
    ).one_or_none()
    if row is None:
        raise refused("there is no such event")
    if hashlib.sha256(row.body.encode()).digest() != bytes(row.hash):
        raise refused("the event was changed")
    return Committed(row.seq, bytes(row.hash), json.loads(row.body), now)


def person_of(body: dict[str, Any]) -> str:
    """The account that acts in an event; empty where it is a unit or nobody."""
    actor = body["event"]["actor"]
    return str(actor["id"]) if actor["kind"] == "account" else ""


def refused(reason: str) -> KeyRefusedError:
    """The refusal, with its reason."""
    return KeyRefusedError(reason=reason)


def _require_statement(
    body: dict[str, Any], purpose: Purpose, purpose_name: str, recording_id: uuid.UUID
) -> None:
    event = body["event"]
    details = event.get("details", {})
    stated = {name: details.get(name) for name in ("recording", "purpose", "unit")}
    if stated != {"recording": str(recording_id), "purpose": purpose_name, "unit": purpose.unit}:
        raise refused("the event allows something else")
    if event["action"] != purpose.action or event["outcome"] != "ok":
        raise refused("the event is not such an access")
    # The database says who wrote the event; the unit in its details is only a claim.
    if body["by"] != f"fupan_{purpose.unit}":
        raise refused("the event was written by another unit")


def _expiry(
    tx: Connection, body: dict[str, Any], seq: int, recording_id: uuid.UUID, purpose_name: str
) -> dt.datetime:
    """When the use ends: what the event says; for a replay its view's lease, which is renewed."""
    latest = dt.datetime.fromisoformat(body["at"]) + LONGEST_USE
    if purpose_name != "replay":
        try:
            return min(dt.datetime.fromisoformat(body["event"]["details"]["expires"]), latest)
        except (KeyError, TypeError, ValueError):
            raise refused("the event has no expiry") from None
    view = tx.execute(
        select(replay_view.c.recording_id, replay_view.c.lease_until, replay_view.c.closed_at).where(
            replay_view.c.event_seq == seq
        )
    ).one_or_none()
    if view is None or view.recording_id != recording_id:
        raise refused("no view belongs to the event")
    if view.closed_at is not None:
        raise refused("the view is closed")
    lease: dt.datetime = view.lease_until
    return min(lease, latest)


def _require_running(
    purpose: str, recording_state: str | None, analysis_state: str | None, *, cleared: bool
) -> None:
    """A job's event ends with the job: at the seal, when the analysis is done, failed or withdrawn, or when
    the journals are `cleared`."""
    if purpose == "seal" and recording_state != RecordingState.SEALING:
        raise refused("the recording is not being sealed")
    if purpose == "analyse" and analysis_state != AnalysisState.RUNNING:
        raise refused("the recording is not being analysed")
    if purpose == "check" and (recording_state != RecordingState.SEALED or cleared):
        raise refused("there are no journals of a sealed recording to be cleared")
    if purpose in ("check-vault", "repair") and recording_state != RecordingState.SEALED:
        raise refused("the recording is not sealed")
    # Any other may be what a database says that was put back to a day before.
    if purpose == "rebuild" and recording_state == RecordingState.ERASED:
        raise refused("the recording was erased")


def _use(
    tx: Connection,
    found: Committed,
    recording_id: uuid.UUID,
    event_id: uuid.UUID,
    purpose: str,
    unit: str,
    expires: dt.datetime,
) -> Use:
    about = tx.execute(
        select(
            position.c.department_id,
            recording.c.state,
            recording.c.journals_removed_at,
            analysis.c.state.label("analysis"),
        )
        .select_from(attempt)
        .join(position, position.c.id == attempt.c.position_id)
        .outerjoin(recording, recording.c.id == attempt.c.id)
        .outerjoin(analysis, analysis.c.recording_id == attempt.c.id)
        .where(attempt.c.id == recording_id)
    ).one_or_none()
    if about is None:
        raise refused("there is no such recording")
    cleared = about.journals_removed_at is not None
    _require_running(purpose, about.state, about.analysis, cleared=cleared)
    pinned = tx.scalars(select(browser_key.c.public_key).where(browser_key.c.attempt_id == recording_id))
    return Use(
        event_id,
        found.hash,
        recording_id,
        purpose,
        unit,
        person_of(found.body),
        expires,
        about.department_id,
        frozenset(bytes(key) for key in pinned),
    )
