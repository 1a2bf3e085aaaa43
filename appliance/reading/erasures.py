"""Marks, holds and certificates, for those who may see them; to administrators nothing says of whom."""

from __future__ import annotations

import base64
import datetime as dt
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, func, or_, select

from appliance.domain import OPEN_MARKS, User
from appliance.keyholder.erase_client import key_fingerprint
from appliance.people import access
from appliance.people.roles import ADMINISTRATORS
from appliance.reading.paging import Page, page_of
from appliance.tables import account, attempt, candidate, erasure, legal_hold, position, recording

PAGE = 50


@dataclass(frozen=True)
class HoldRow:
    """One legal hold. `lifted_at` is None while it holds."""

    id: uuid.UUID
    person_id: uuid.UUID | None
    recording_id: uuid.UUID | None
    reason: str
    case_ref: str
    set_by: str
    set_at: dt.datetime
    lifted_at: dt.datetime | None


@dataclass(frozen=True)
class MarkRow:
    """One mark. `name`: the person's, for those who may know it; `held`: recordings, or the person, that a
    hold keeps now; `statement`: of the certificate, once there is one."""

    id: uuid.UUID
    person_id: uuid.UUID
    name: str | None
    whole: bool
    recordings: list[uuid.UUID]
    basis: str
    case_ref: str
    state: str
    marked_by: str
    marked_at: dt.datetime
    due_at: dt.datetime
    withdrawn_at: dt.datetime | None
    erased_at: dt.datetime | None
    ledger_seq: int | None
    statement: dict[str, Any] | None
    held: list[uuid.UUID]

    @property
    def unrecoverable_at(self) -> dt.datetime | None:
        """From when on no backup opens it."""
        return dt.datetime.fromisoformat(self.statement["unrecoverable_at"]) if self.statement else None

    def took(self, recording_id: uuid.UUID) -> bool:
        """Whether this erasure destroyed the keys of a recording: a mark also names what a hold kept."""
        return self.statement is not None and str(recording_id) in self.statement["recordings"]

    @property
    def fingerprint(self) -> str:
        """Of the ledger key that signed the certificate, as `fupan vault status` shows it."""
        return key_fingerprint(base64.b64decode(self.statement["public"])) if self.statement else ""


@dataclass(frozen=True)
class Scope:
    """What an erasure of an attempt would take: the person's own number, and their interviews."""

    person_id: uuid.UUID
    name: str
    interviews: list[Any]


def marks(tx: Connection, user: User, number: int = 1) -> Page[MarkRow]:
    """All that the person may see, the newest first."""
    query = _marks().where(access.erasures_of(user)).order_by(erasure.c.marked_at.desc(), erasure.c.id)
    found = page_of(tx, query, number, PAGE, lambda row: row)
    return Page(_told(tx, user, found.rows), found.total, found.number, found.size)


def open_marks(tx: Connection, user: User) -> int:
    """How many marks that the person may see can still become something."""
    still = select(func.count()).where(access.erasures_of(user), erasure.c.state.in_(OPEN_MARKS))
    return tx.scalar(still) or 0


def one(tx: Connection, user: User, mark_id: uuid.UUID) -> MarkRow:
    """One mark. The caller has fetched it by access.get_erasure_for."""
    return _told(tx, user, tx.execute(_marks().where(erasure.c.id == mark_id)).all())[0]


def of_attempt(tx: Connection, user: User, attempt_id: uuid.UUID, person_id: uuid.UUID) -> list[MarkRow]:
    """The marks that name an attempt, or its person with everything, the newest first. The caller has
    fetched the attempt."""
    about = erasure.c.recordings.contains([attempt_id]) | (
        (erasure.c.person_id == person_id) & erasure.c.whole
    )
    return _told(tx, user, tx.execute(_marks().where(about).order_by(erasure.c.marked_at.desc())).all())


def holds(tx: Connection) -> list[HoldRow]:
    """Every hold, those that hold first."""
    order = (legal_hold.c.lifted_at.is_not(None), legal_hold.c.set_at.desc())
    return _holds(tx, _hold_rows().order_by(*order).limit(500))


def holds_on(tx: Connection, numbers: Iterable[uuid.UUID]) -> list[HoldRow]:
    """Those that keep one of these persons or recordings now."""
    wanted = list(numbers)
    about = or_(legal_hold.c.person_id.in_(wanted), legal_hold.c.recording_id.in_(wanted))
    return _holds(tx, _hold_rows().where(about, legal_hold.c.lifted_at.is_(None)))


def scope(tx: Connection, attempt_id: uuid.UUID) -> Scope:
    """Whose attempt it is, and what there is of them. The caller has fetched the attempt."""
    person = tx.execute(
        select(candidate.c.id, candidate.c.name)
        .join(attempt, attempt.c.candidate_id == candidate.c.id)
        .where(attempt.c.id == attempt_id)
    ).one()
    rows = tx.execute(
        select(attempt.c.id, attempt.c.number, attempt.c.created_at, position.c.title, recording.c.state)
        .join(position, position.c.id == attempt.c.position_id)
        .outerjoin(recording, recording.c.id == attempt.c.id)
        .where(attempt.c.candidate_id == person.id)
        .order_by(attempt.c.created_at, attempt.c.id)
    )
    return Scope(person.id, person.name, list(rows))


def _marks() -> Select[Any]:
    return (
        select(erasure, candidate.c.name, account.c.display_name.label("marked_by_name"))
        .join(candidate, candidate.c.id == erasure.c.person_id)
        .join(account, account.c.id == erasure.c.marked_by)
    )


def _told(tx: Connection, user: User, rows: Iterable[Row[Any]]) -> list[MarkRow]:
    found = list(rows)
    numbers = {number for row in found for number in (row.person_id, *row.recordings)}
    kept = {each.person_id or each.recording_id for each in holds_on(tx, numbers)} if numbers else set()
    return [_mark(user, row, kept) for row in found]


def _mark(user: User, row: Row[Any], kept: set[uuid.UUID | None]) -> MarkRow:
    return MarkRow(
        row.id,
        row.person_id,
        None if user.role in ADMINISTRATORS else row.name,
        row.whole,
        list(row.recordings),
        row.basis,
        row.case_ref,
        row.state,
        row.marked_by_name,
        row.marked_at,
        row.due_at,
        row.withdrawn_at,
        row.erased_at,
        row.ledger_seq,
        json.loads(row.certificate["statement"]) if row.certificate else None,
        [each for each in (row.person_id, *row.recordings) if each in kept],
    )


def _hold_rows() -> Select[Any]:
    return select(legal_hold, account.c.display_name).join(account, account.c.id == legal_hold.c.set_by)


def _holds(tx: Connection, query: Select[Any]) -> list[HoldRow]:
    return [
        HoldRow(
            row.id,
            row.person_id,
            row.recording_id,
            row.reason,
            row.case_ref,
            row.display_name,
            row.set_at,
            row.lifted_at,
        )
        for row in tx.execute(query)
    ]
