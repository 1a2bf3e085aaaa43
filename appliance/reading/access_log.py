"""The access log as an auditor reads it: filtered, counted by day and by facet. Needs the auditor's role."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Date, Row, Select, case, func, literal, or_, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.expression import cast

from appliance.audit.log import Action
from appliance.reading.paging import Page, page_of
from appliance.tables import audit_event, audit_head

FACET_LIMIT = 30
EXPORT_BATCH = 1000


@dataclass(frozen=True)
class Filter:
    """Which events. Empty fields filter nothing; `since` and `until` are instants, until exclusive."""

    actor: str = ""
    action: str = ""
    outcome: str = ""
    object_type: str = ""
    object_id: str = ""
    since: dt.datetime | None = None
    until: dt.datetime | None = None


@dataclass(frozen=True)
class Event:
    """One entry; `body` is the exact text that was hashed."""

    seq: int
    id: uuid.UUID
    at: dt.datetime
    by: str
    action: str
    outcome: str
    actor: dict[str, Any]
    object_type: str
    object_id: str
    reason: str
    details: dict[str, Any]
    body: str
    hash: bytes


@dataclass(frozen=True)
class Day:
    """How many events of one day went well and how many were refused or failed."""

    day: dt.date
    ok: int
    refused: int


def events(tx: Connection, wanted: Filter, number: int = 1, size: int = 50) -> Page[Event]:
    """One page, newest first."""
    return page_of(tx, _matching(wanted).order_by(audit_event.c.seq.desc()), number, size, _event)


def event(tx: Connection, seq: int) -> Event | None:
    """One entry by its number."""
    row = tx.execute(select(audit_event).where(audit_event.c.seq == seq)).one_or_none()
    return None if row is None else _event(row)


def every(tx: Connection, wanted: Filter) -> Iterator[Event]:
    """All matching entries in order, read in batches (bounded memory)."""
    last = 0
    while True:
        query = _matching(wanted).where(audit_event.c.seq > last).order_by(audit_event.c.seq)
        rows = tx.execute(query.limit(EXPORT_BATCH)).all()
        if not rows:
            return
        yield from map(_event, rows)
        last = rows[-1].seq


def head(tx: Connection) -> tuple[int, bytes]:
    """The number and hash of the newest entry."""
    row = tx.execute(select(audit_head.c.seq, audit_head.c.hash)).one()
    return row.seq, bytes(row.hash)


def days(tx: Connection, wanted: Filter, offset: dt.timedelta, limit: int = 60) -> list[Day]:
    """Counts of the newest `limit` days that have events, oldest first; days are those of UTC + `offset`."""
    day = cast(func.timezone(literal(offset), audit_event.c.at), Date).label("day")
    refused = func.sum(case((audit_event.c.outcome != "ok", 1), else_=0))
    query = (
        select(day, func.count().label("all"), refused.label("refused"))
        .where(*_conditions(wanted))
        .group_by(day)
        .order_by(day.desc())
        .limit(limit)
    )
    return [Day(row.day, row.all - row.refused, row.refused) for row in reversed(tx.execute(query).all())]


def facets(tx: Connection, wanted: Filter) -> dict[str, list[tuple[str, int]]]:
    """The values of action, outcome and object type among the matching events, most frequent first."""
    columns = {
        "action": audit_event.c.action,
        "outcome": audit_event.c.outcome,
        "object_type": audit_event.c.object_type,
    }
    found = {}
    for name, column in columns.items():
        count = func.count()
        query = select(column, count).where(*_conditions(wanted)).group_by(column)
        rows = tx.execute(query.order_by(count.desc(), column).limit(FACET_LIMIT)).all()
        found[name] = [(row[0], row[1]) for row in rows]
    return found


def openings(tx: Connection, recording: uuid.UUID) -> list[Event]:
    """Every opening of a recording's replay, newest first; what was refused is `access:denied`."""
    wanted = Filter(action=Action.REPLAY_OPEN.value, object_id=str(recording))
    return [_event(row) for row in tx.execute(_matching(wanted).order_by(audit_event.c.seq.desc())).all()]


def _matching(wanted: Filter) -> Select[Any]:
    return select(audit_event).where(*_conditions(wanted))


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    c = audit_event.c
    conditions: list[ColumnElement[bool]] = [
        column == value
        for column, value in (
            (c.action, wanted.action),
            (c.outcome, wanted.outcome),
            (c.object_type, wanted.object_type),
            (c.object_id, wanted.object_id),
        )
        if value
    ]
    if wanted.actor:
        name = cast(c.body, JSONB)[("event", "actor", "name")].astext
        conditions.append(or_(c.actor == wanted.actor, name == wanted.actor))
    if wanted.since:
        conditions.append(c.at >= wanted.since)
    if wanted.until:
        conditions.append(c.at < wanted.until)
    return conditions


def _event(row: Row[Any]) -> Event:
    told = json.loads(row.body)["event"]
    return Event(
        seq=row.seq,
        id=row.id,
        at=row.at,
        by=row.by,
        action=row.action,
        outcome=row.outcome,
        actor=told["actor"],
        object_type=row.object_type,
        object_id=row.object_id,
        reason=told.get("reason", ""),
        details=told.get("details", {}),
        body=row.body,
        hash=bytes(row.hash),
    )
