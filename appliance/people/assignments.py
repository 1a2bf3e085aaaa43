"""Which interviewer takes part in which interview; each change is on the audit log."""

from __future__ import annotations

import uuid

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.postgresql import insert

from appliance.audit import log
from appliance.audit.log import Action, Actor
from appliance.domain import Role, User
from appliance.errors import InvalidInputError
from appliance.people import access
from appliance.people.roles import Permission
from appliance.tables import account, assignment


def assign(tx: Connection, user: User, attempt_id: uuid.UUID, account_id: uuid.UUID) -> None:
    """Let an interviewer see one attempt. Raises NotFoundError, InvalidInputError."""
    access.get_attempt_for(tx, user, attempt_id, Permission.ASSIGNMENT_WRITE)
    role = tx.scalar(
        select(account.c.role).where(account.c.id == account_id, account.c.disabled_at.is_(None))
    )
    if role != Role.INTERVIEWER:
        raise InvalidInputError("Choose an interviewer whose account is enabled.")
    values = {"attempt_id": attempt_id, "account_id": account_id}
    tx.execute(insert(assignment).values(**values).on_conflict_do_nothing())
    _record(tx, user, attempt_id, {"assigned": str(account_id)})


def unassign(tx: Connection, user: User, attempt_id: uuid.UUID, account_id: uuid.UUID) -> None:
    """Take the attempt out of the interviewer's sight. Raises NotFoundError."""
    access.get_attempt_for(tx, user, attempt_id, Permission.ASSIGNMENT_WRITE)
    tx.execute(
        delete(assignment).where(assignment.c.attempt_id == attempt_id, assignment.c.account_id == account_id)
    )
    _record(tx, user, attempt_id, {"unassigned": str(account_id)})


def _record(tx: Connection, user: User, attempt_id: uuid.UUID, details: dict[str, str]) -> None:
    log.append(tx, Action.ASSIGNMENT_CHANGE, Actor.of(user), "attempt", attempt_id, details=details)
