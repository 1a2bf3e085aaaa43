"""Lists of positions and of candidates' attempts, scoped to a person."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, FromClause, Row, Select, func, or_, select

from appliance.domain import AttemptState, Question, User
from appliance.people.access import attempts_of, positions_of
from appliance.reading.paging import Page, like, page_of, within
from appliance.tables import analysis, attempt, candidate, department, position, question, recording


@dataclass(frozen=True)
class PositionRow:
    """A position with what has come of it."""

    id: uuid.UUID
    title: str
    department: str
    language: str
    questions: int
    invited: int
    finished: int
    created_at: dt.datetime
    closed_at: dt.datetime | None


@dataclass(frozen=True)
class AttemptRow:
    """One line of the candidates' table; states are the values of the domain's enumerations."""

    id: uuid.UUID
    name: str
    email: str
    position_id: uuid.UUID
    position: str
    number: int
    state: str
    deadline: dt.datetime
    created_at: dt.datetime
    invited_at: dt.datetime | None
    finished_at: dt.datetime | None
    recording_state: str | None
    duration_ms: int | None
    problem: str | None
    analysis_state: str | None
    progress: int
    reason: str | None


@dataclass(frozen=True)
class AttemptFilter:
    """Which attempts; empty fields filter nothing. `text` is looked for in names and addresses."""

    text: str = ""
    state: str = ""
    position_id: uuid.UUID | None = None


SORTS: dict[str, Column[Any]] = {
    "name": candidate.c.name,
    "position": position.c.title,
    "state": attempt.c.state,
    "deadline": attempt.c.deadline,
    "invited": attempt.c.created_at,
    "finished": attempt.c.finished_at,
    "length": recording.c.duration_ms,
}


def positions(tx: Connection, user: User, *, closed: bool = False, number: int = 1) -> Page[PositionRow]:
    """Positions in the person's scope, newest first; `closed` picks the closed ones."""
    count = func.count
    asked = select(count()).where(question.c.position_id == position.c.id).scalar_subquery()
    invited = select(count()).where(attempt.c.position_id == position.c.id)
    finished = invited.where(attempt.c.state == AttemptState.FINISHED)
    query = (
        select(
            position.c.id,
            position.c.title,
            department.c.name.label("department"),
            position.c.language,
            asked.label("questions"),
            invited.scalar_subquery().label("invited"),
            finished.scalar_subquery().label("finished"),
            position.c.created_at,
            position.c.closed_at,
        )
        .join(department, department.c.id == position.c.department_id)
        .where(
            positions_of(user),
            position.c.closed_at.is_not(None) if closed else position.c.closed_at.is_(None),
        )
        .order_by(position.c.created_at.desc(), position.c.id)
    )
    return page_of(tx, query, number, 50, lambda row: PositionRow(**row._mapping))


def position_names(tx: Connection, user: User) -> list[tuple[uuid.UUID, str]]:
    """Id and title of every position in scope, for a filter's choices."""
    query = select(position.c.id, position.c.title).where(positions_of(user)).order_by(position.c.title)
    return [(row.id, row.title) for row in tx.execute(query.limit(500))]


def questions(tx: Connection, position_id: uuid.UUID) -> list[Question]:
    """What a position asks, in order. The caller has fetched the position by access.get_position_for."""
    query = select(question).where(question.c.position_id == position_id).order_by(question.c.ordinal)
    return [
        Question(row.ordinal, row.text, row.prep_seconds, row.answer_seconds, row.hint, row.competency)
        for row in tx.execute(query)
    ]


def departments(tx: Connection, user: User) -> list[tuple[uuid.UUID, str]]:
    """Departments in which the person may make positions."""
    query = select(department.c.id, department.c.name).order_by(department.c.name)
    if user.department_id is not None:
        query = query.where(department.c.id == user.department_id)
    return [(row.id, row.name) for row in tx.execute(query)]


def all_departments(tx: Connection) -> list[tuple[uuid.UUID, str]]:
    """Every department, for those who manage accounts."""
    query = select(department.c.id, department.c.name).order_by(department.c.name)
    return [(row.id, row.name) for row in tx.execute(query)]


def attempts(
    tx: Connection,
    user: User,
    wanted: AttemptFilter,
    *,
    sort: str = "invited",
    descending: bool = True,
    number: int = 1,
    size: int = 50,
    counted: Mapping[str, int] | None = None,
) -> Page[AttemptRow]:
    """Attempts in the person's scope; an unknown `sort` counts as "invited".

    `counted` is what `states` says of the same filter, where the caller has it.
    """
    if counted is None:
        counted = states(tx, user, wanted)
    total = counted.get(wanted.state, 0) if wanted.state else sum(counted.values())
    number, size = within(total, number, size)
    column = SORTS.get(sort, SORTS["invited"])
    order = [column.desc(), attempt.c.id.desc()] if descending else [column.asc(), attempt.c.id.asc()]
    if column.nullable:
        order[0] = order[0].nulls_last()
    # Which they are first, from no more tables than that takes; what is shown of them after.
    chosen = tx.scalars(
        select(attempt.c.id)
        .select_from(_joined_for(wanted, column))
        .where(attempts_of(user), *_conditions(wanted))
        .order_by(*order)
        .limit(size)
        .offset((number - 1) * size)
    ).all()
    found = tx.execute(rows().where(attempt.c.id.in_(chosen)).order_by(*order)) if chosen else ()
    return Page([attempt_row(row) for row in found], total, number, size)


def states(tx: Connection, user: User, wanted: AttemptFilter) -> dict[str, int]:
    """How many attempts are in each state, whatever state is wanted."""
    everywhere = AttemptFilter(wanted.text, "", wanted.position_id)
    query = (
        select(attempt.c.state, func.count())
        .select_from(_joined_for(everywhere))
        .where(attempts_of(user), *_conditions(everywhere))
        .group_by(attempt.c.state)
    )
    return {row[0]: row[1] for row in tx.execute(query)}


def joined() -> FromClause:
    """An attempt with its position, candidate, recording and analysis."""
    return (
        attempt.join(position, position.c.id == attempt.c.position_id)
        .join(candidate, candidate.c.id == attempt.c.candidate_id)
        .outerjoin(recording, recording.c.id == attempt.c.id)
        .outerjoin(analysis, analysis.c.recording_id == attempt.c.id)
    )


def _joined_for(wanted: AttemptFilter, sort: ColumnElement[Any] | None = None) -> FromClause:
    """An attempt with its position, and of the rest only what the filter and the order ask for."""
    tables = attempt.join(position, position.c.id == attempt.c.position_id)
    if wanted.text or sort is SORTS["name"]:
        tables = tables.join(candidate, candidate.c.id == attempt.c.candidate_id)
    if sort is SORTS["length"]:
        tables = tables.outerjoin(recording, recording.c.id == attempt.c.id)
    return tables


def rows() -> Select[*tuple[Any, ...]]:
    """The columns of AttemptRow, unscoped: callers add `attempts_of(user)`."""
    return select(
        attempt.c.id,
        candidate.c.name,
        candidate.c.email,
        attempt.c.position_id,
        position.c.title.label("position"),
        attempt.c.number,
        attempt.c.state,
        attempt.c.deadline,
        attempt.c.created_at,
        attempt.c.invited_at,
        attempt.c.finished_at,
        recording.c.state.label("recording_state"),
        recording.c.duration_ms,
        recording.c.problem,
        analysis.c.state.label("analysis_state"),
        func.coalesce(analysis.c.progress, 0).label("progress"),
        analysis.c.reason,
    ).select_from(joined())


def attempt_row(row: Row[Any]) -> AttemptRow:
    """From a row of `rows()`."""
    return AttemptRow(**row._mapping)


def _conditions(wanted: AttemptFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.text:
        pattern = like(wanted.text)
        conditions.append(or_(candidate.c.name.ilike(pattern), candidate.c.email.ilike(pattern)))
    if wanted.state:
        conditions.append(attempt.c.state == wanted.state)
    if wanted.position_id:
        conditions.append(attempt.c.position_id == wanted.position_id)
    return conditions
