"""What the desk opens with: what runs now, what is new, what needs a person."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Connection, Text, cast, exists, func, literal_column, select
from sqlalchemy.sql.elements import BooleanClauseList

from appliance import deadlines
from appliance.domain import AnalysisState, AttemptState, RecordingState, User
from appliance.people.access import attempts_of
from appliance.reading.interviews import AttemptRow, attempt_row, rows
from appliance.tables import analysis, attempt, intake_record, outgoing_mail, recording, replay_view
from appliance.upkeep.damage import DAMAGED

RECENT = dt.timedelta(days=7)
# The worker ends an attempt within a minute or two; one that is open for longer needs a person.
OVERDUE = dt.timedelta(minutes=15)
LONGEST = 20
NEWEST = attempt.c.created_at.desc()
# A seal that has a worker; the others of state "sealing" wait for one, or for what holds them up.
BEING_SEALED: ColumnElement[bool] = literal_column(
    "EXISTS (SELECT 1 FROM procrastinate_jobs AS job WHERE job.status = 'doing' AND job.task_name = 'seal'"
    " AND job.lock = 'recording:' || CAST(recording.id AS text))",
    Boolean(),
)


@dataclass(frozen=True)
class Today:
    """Short lists; each at most LONGEST rows. `arriving` are interviews that are over for the candidate and
    not here as a whole yet, `waiting` those that are and whose seal has not begun."""

    running: list[AttemptRow]
    arriving: list[AttemptRow]
    waiting: list[AttemptRow]
    working: list[AttemptRow]
    new: list[AttemptRow]
    attention: list[tuple[str, AttemptRow]]


def today(tx: Connection, user: User, now: dt.datetime) -> Today:
    """For one person. `new` are interviews ready to replay that this person has not opened,
    the last sealed first."""
    recent = recording.c.sealed_at >= now - RECENT
    unseen = ~exists().where(
        replay_view.c.recording_id == attempt.c.id, replay_view.c.account_id == user.account_id
    )
    sealed = recording.c.state == RecordingState.SEALED
    # Each by what is unfinished, of which there is little, and not by asking every attempt.
    in_sealing = select(recording.c.id).where(recording.c.state == RecordingState.SEALING)
    over = (attempt.c.deadline <= now) | _all_answered()
    in_analysis = (
        select(analysis.c.recording_id)
        .join(recording, recording.c.id == analysis.c.recording_id)
        .where(sealed, analysis.c.state.in_([AnalysisState.QUEUED, AnalysisState.RUNNING]))
    )
    being_recorded = attempt.c.state.in_([AttemptState.RECORDING, AttemptState.CHECKED_IN])
    failed_mail = exists(
        select(outgoing_mail.c.id).where(
            outgoing_mail.c.attempt_id == attempt.c.id, outgoing_mail.c.state == "failed"
        )
    )
    left_open = deadlines.overdue(now - OVERDUE)
    attention = [
        ("overdue", left_open),
        ("seal", recording.c.state == RecordingState.FAILED),
        ("damaged", sealed & (recording.c.problem == DAMAGED)),
        ("analysis", analysis.c.state == AnalysisState.FAILED),
        ("mail", failed_mail),
        ("expired", (attempt.c.state == AttemptState.EXPIRED) & (attempt.c.deadline >= now - RECENT)),
    ]
    return Today(
        running=_list(tx, user, being_recorded & (attempt.c.deadline > now) & ~_all_answered()),
        arriving=_list(tx, user, (attempt.c.state == AttemptState.RECORDING) & over & ~left_open),
        waiting=_list(tx, user, attempt.c.id.in_(in_sealing.where(~BEING_SEALED))),
        working=_list(tx, user, attempt.c.id.in_(in_sealing.where(BEING_SEALED).union_all(in_analysis))),
        new=_list(tx, user, sealed & recent & unseen, recording.c.sealed_at.desc()),
        attention=[(why, row) for why, condition in attention for row in _list(tx, user, condition)],
    )


def _all_answered() -> ColumnElement[bool]:
    """Whether the last question is closed. Compared as text: what intake wrote may be anything."""
    last = cast(func.jsonb_array_length(attempt.c.snapshot["questions"]), Text)
    return exists().where(
        intake_record.c.attempt_id == attempt.c.id,
        intake_record.c.body["event"].astext == "question_closed",
        intake_record.c.body["question"].astext == last,
    )


def _list(
    tx: Connection,
    user: User,
    condition: ColumnElement[bool] | BooleanClauseList,
    order: ColumnElement[Any] = NEWEST,
) -> list[AttemptRow]:
    query = rows().where(attempts_of(user), condition).order_by(order, attempt.c.id).limit(LONGEST)
    return [attempt_row(row) for row in tx.execute(query)]
