"""What the database must say before a day key is destroyed, and what shows that it is not to be believed.

All of it is read with the keyholder's own role, on the primary. What the keyholder knows by itself (its own
journal, the key records, the erase ledger) must be there too: an empty database, an older one after a
restore, or that of another site would call every key idle.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping

from sqlalchemy import ARRAY, Connection, Text, func, literal, or_, select

from appliance.audit.log import Action
from appliance.deadlines import grace
from appliance.domain import AttemptState, RecordingState
from appliance.errors import DatabaseDoubtfulError
from appliance.keyholder.day_rule import MARGIN, Holder
from appliance.keyholder.gate import AT_ONCE, ORDER_SECONDS, committed, refused
from appliance.tables import attempt, audit_event, browser_key, recording

# Each try at `fupan vault init` names a vault of its own, and many a try is given up.
BEGINNING = (Action.VAULT_INIT, Action.VAULT_SHARE, Action.VAULT_ACTIVATE)


def holders(
    tx: Connection,
    now: dt.datetime,
    invited: Mapping[uuid.UUID, frozenset[str]],
    erased: frozenset[uuid.UUID],
) -> list[Holder]:
    """Every attempt of which something may wait: all but those that are sealed, read back and cleared from
    intake, those that were over with nothing recorded, and those that were erased."""
    closes = attempt.c.latest_deadline + grace()
    cleared = (recording.c.state == RecordingState.SEALED) & recording.c.journals_removed_at.is_not(None)
    nothing = (
        (attempt.c.state == AttemptState.EXPIRED)
        & (recording.c.state == RecordingState.COLLECTING)
        & (closes + literal(MARGIN) <= now)
    )
    bound = (
        select(func.array_agg(browser_key.c.day_key_id, type_=ARRAY(Text)))
        .where(browser_key.c.attempt_id == attempt.c.id, browser_key.c.day_key_id.is_not(None))
        .scalar_subquery()
    )
    rows = tx.execute(
        select(attempt.c.id, attempt.c.created_at, closes.label("closes"), bound.label("bound"))
        .outerjoin(recording, recording.c.id == attempt.c.id)
        .where(~func.coalesce(or_(cleared, nothing), False))
    )
    return [
        Holder(row.created_at, row.closes, invited.get(row.id, frozenset()) | frozenset(row.bound or ()))
        for row in rows
        if row.id not in erased
    ]


def now(tx: Connection) -> dt.datetime:
    """The primary's clock."""
    found: dt.datetime | None = tx.scalar(select(func.now()))
    assert found is not None
    return found


def require_believable(
    tx: Connection,
    vault_id: uuid.UUID,
    used: Mapping[uuid.UUID, bytes],
    invited: frozenset[uuid.UUID],
    keyed: frozenset[uuid.UUID],
    erased: frozenset[uuid.UUID],
) -> None:
    """Raises DatabaseDoubtfulError (with `what`).

    `used`: events that keys were given for, with their hashes; `invited`: recordings that packets were signed
    for; `keyed`: those with a key record; `erased`: those whose keys the ledger names.
    """
    if tx.scalar(select(func.pg_is_in_recovery())):
        raise DatabaseDoubtfulError(what="it is not the primary")
    others = tx.scalars(
        select(audit_event.c.object_id)
        .where(
            audit_event.c.object_type == "vault",
            audit_event.c.object_id != str(vault_id),
            audit_event.c.action.not_in(BEGINNING),
        )
        .limit(1)
    ).all()
    if others:
        raise DatabaseDoubtfulError(what=f"its log is about another vault, {others[0]}")
    if lost := _lost_events(tx, used):
        raise DatabaseDoubtfulError(what=f"{lost} events that keys were given for are missing or changed")
    known = frozenset(tx.scalars(select(attempt.c.id)))
    if lost := len(invited - known - erased):
        raise DatabaseDoubtfulError(what=f"{lost} interviews that links were signed for are missing")
    if lost := len(keyed - known - erased):
        raise DatabaseDoubtfulError(what=f"{lost} recordings that have keys are missing")
    sealed = frozenset(tx.scalars(select(recording.c.id).where(recording.c.state == RecordingState.SEALED)))
    if lost := len(sealed - keyed - erased):
        raise DatabaseDoubtfulError(what=f"{lost} recordings are said to be sealed and have no key")


def demand_order(tx: Connection, vault_id: uuid.UUID, event_id: uuid.UUID) -> tuple[bytes, frozenset[str]]:
    """The hash of a committed, fresh order to destroy day keys of this vault, and the days it names.

    Raises KeyRefusedError (with `reason`).
    """
    found = committed(tx, event_id)
    event, days = found.body["event"], found.body["event"].get("details", {}).get("days")
    if event["action"] != Action.KEYS_DESTROY or event["outcome"] != "ok":
        raise refused("the event is no order to destroy day keys")
    if found.body["by"] != "fupan_worker" or event["object"] != {"type": "vault", "id": str(vault_id)}:
        raise refused("the event orders something else")
    if found.now - dt.datetime.fromisoformat(found.body["at"]) > dt.timedelta(seconds=ORDER_SECONDS):
        raise refused("the event has expired")
    if not isinstance(days, list) or not all(isinstance(day, str) for day in days):
        raise refused("the event names no days")
    return found.hash, frozenset(days)


def _lost_events(tx: Connection, used: Mapping[uuid.UUID, bytes]) -> int:
    """How many of these events are not on the log, or are there with another hash."""
    kept = 0
    wanted = list(used)
    for start in range(0, len(wanted), AT_ONCE):
        ids = wanted[start : start + AT_ONCE]
        found = tx.execute(select(audit_event.c.id, audit_event.c.hash).where(audit_event.c.id.in_(ids)))
        kept += sum(bytes(row.hash) == used[row.id] for row in found)
    return len(used) - kept
