"""Which interviewer takes part in which interview; each change is on the audit log."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, delete, select
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
    made = tx.execute(insert(assignment).values(**values).on_conflict_do_nothing())
    if made.rowcount:
        _record(tx, user, attempt_id, {"assigned": str(account_id)})


def unassign(tx: Connection, user: User, attempt_id: uuid.UUID, account_id: uuid.UUID) -> None:
    """Take the attempt out of the interviewer's sight. Raises NotFoundError."""
    access.get_attempt_for(tx, user, attempt_id, Permission.ASSIGNMENT_WRITE)
    gone = tx.execute(
        delete(assignment).where(assignment.c.attempt_id == attempt_id, assignment.c.account_id == account_id)
    )
    if gone.rowcount:
        _record(tx, user, attempt_id, {"unassigned": str(account_id)})


@dataclass(frozen=True)
class Interviewer:
    """An account that may be assigned, or was."""

    id: uuid.UUID
    username: str
    name: str
    enabled: bool


def interviewers(tx: Connection) -> list[Interviewer]:
    """Those who may be assigned: every interviewer whose account is enabled, by name."""
    query = _accounts().where(account.c.role == Role.INTERVIEWER, account.c.disabled_at.is_(None))
    return [Interviewer(*row) for row in tx.execute(query)]


def assigned(tx: Connection, attempt_id: uuid.UUID) -> list[Interviewer]:
    """Those who are, by name. The caller has fetched the attempt by access.get_attempt_for."""
    query = _accounts().join(assignment, assignment.c.account_id == account.c.id)
    return [Interviewer(*row) for row in tx.execute(query.where(assignment.c.attempt_id == attempt_id))]


def _accounts() -> Select[*tuple[Any, ...]]:
    enabled = account.c.disabled_at.is_(None)
    return select(account.c.id, account.c.username, account.c.display_name, enabled).order_by(
        account.c.display_name, account.c.username
    )


def _record(tx: Connection, user: User, attempt_id: uuid.UUID, details: dict[str, str]) -> None:
    log.append(tx, Action.ASSIGNMENT_CHANGE, Actor.of(user), "attempt", attempt_id, details=details)
