"""The only way to fetch an object for a person: by scope, in one query.

What does not exist and what is not theirs take the same path and end in the same NotFoundError, so no
answer and no timing tells them apart. The scope of each role:

recruiter        every department, or the one their account names
department head  their own department
interviewer      the attempts that were assigned to them, and the positions of those
others           nothing; the three administrators never see a position, a candidate or a recording, and of
                 erasures and holds only ids, codes and moments
"""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, exists, false, select, true

from appliance.domain import Role, User
from appliance.errors import NotFoundError
from appliance.people.roles import ADMINISTRATORS, Permission, allowed
from appliance.tables import assignment, attempt, erasure, position, recording


class OutOfScopeError(NotFoundError):
    """The NotFoundError of this module: it says what was asked for, so that the refusal can be logged."""

    def __init__(self, object_type: str, object_id: uuid.UUID) -> None:
        super().__init__()
        self.object_type, self.object_id = object_type, object_id


def get_position_for(
    tx: Connection, user: User, position_id: uuid.UUID, permission: Permission = Permission.POSITION_READ
) -> Row[Any]:
    """All columns of `position`. Raises NotFoundError."""
    return _one(tx, _positions(user, permission).where(position.c.id == position_id), "position", position_id)


def get_attempt_for(
    tx: Connection, user: User, attempt_id: uuid.UUID, permission: Permission = Permission.CANDIDATE_READ
) -> Row[Any]:
    """All columns of `attempt`, and `department_id`. Raises NotFoundError."""
    return _one(tx, _attempts(user, permission).where(attempt.c.id == attempt_id), "attempt", attempt_id)


def get_recording_for(
    tx: Connection, user: User, recording_id: uuid.UUID, permission: Permission = Permission.RECORDING_REPLAY
) -> Row[Any]:
    """All columns of `recording`, and `department_id`. Raises NotFoundError."""
    return _one(
        tx, _recordings(user, permission).where(recording.c.id == recording_id), "recording", recording_id
    )


def get_erasure_for(
    tx: Connection, user: User, erasure_id: uuid.UUID, permission: Permission = Permission.ERASURE_READ
) -> Row[Any]:
    """All columns of `erasure`. Raises NotFoundError."""
    wanted = select(erasure).where(erasures_of(user, permission), erasure.c.id == erasure_id)
    return _one(tx, wanted, "erasure", erasure_id)


def erasures_of(user: User, permission: Permission = Permission.ERASURE_READ) -> ColumnElement[bool]:
    """The scope as a condition on `erasure`: those about somebody whose interviews one may see; all of them
    for administrators, to whom nothing is told of whom."""
    if user.role in ADMINISTRATORS:
        return true() if allowed(user.role, permission) else false()
    joined = attempt.join(position, position.c.id == attempt.c.position_id)
    theirs = select(attempt.c.id).select_from(joined).where(attempt.c.candidate_id == erasure.c.person_id)
    return theirs.where(attempts_of(user, permission)).exists()


def positions_of(user: User, permission: Permission = Permission.POSITION_READ) -> ColumnElement[bool]:
    """The scope as a condition on `position`: what a page lists is what may be opened from it."""
    if user.role is Role.INTERVIEWER and allowed(user.role, permission):
        return exists().where(attempt.c.position_id == position.c.id, _assigned(user))
    return _departments_of(user, permission)


def attempts_of(user: User, permission: Permission = Permission.CANDIDATE_READ) -> ColumnElement[bool]:
    """The scope as a condition on `attempt` joined with its `position`."""
    if user.role is Role.INTERVIEWER and allowed(user.role, permission):
        return _assigned(user)
    return _departments_of(user, permission)


def _departments_of(user: User, permission: Permission) -> ColumnElement[bool]:
    if not allowed(user.role, permission):
        return false()
    if user.role is Role.RECRUITER and user.department_id is None:
        return true()
    # for anyone else without a department this compares with NULL, which is true of no row
    return position.c.department_id == user.department_id


def _assigned(user: User) -> ColumnElement[bool]:
    return exists().where(assignment.c.attempt_id == attempt.c.id, assignment.c.account_id == user.account_id)


def _positions(user: User, permission: Permission) -> Select[Any]:
    return select(position).where(positions_of(user, permission))


def _attempts(user: User, permission: Permission) -> Select[Any]:
    joined = attempt.join(position, position.c.id == attempt.c.position_id)
    return select(attempt, position.c.department_id).select_from(joined).where(attempts_of(user, permission))


def _recordings(user: User, permission: Permission) -> Select[Any]:
    joined = recording.join(attempt, attempt.c.id == recording.c.id).join(
        position, position.c.id == attempt.c.position_id
    )
    return (
        select(recording, position.c.department_id).select_from(joined).where(attempts_of(user, permission))
    )


def _one(tx: Connection, statement: Select[Any], object_type: str, object_id: uuid.UUID) -> Row[Any]:
    row = tx.execute(statement).one_or_none()
    if row is None:
        raise OutOfScopeError(object_type, object_id)
    return row
