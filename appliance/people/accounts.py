"""Local accounts and departments: made, changed, disabled, each on the audit log.

A person has one role, so the three administrators exclude each other. The last security administrator who
can sign in keeps the role: without one, no account could be managed any more.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select, text, update

from appliance import config
from appliance.audit import log
from appliance.audit.log import Action, Actor
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import Role, User
from appliance.errors import ConflictError, InvalidInputError, NotFoundError
from appliance.people import sessions
from appliance.people.directory import MAX_PASSWORD, LocalDirectory, hash_password, person_of
from appliance.tables import account, department

USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
MIN_PASSWORD = 12
MAX_NAME = 120


class LastSecurityAdminError(ConflictError):
    """The change would leave nobody who can manage accounts."""

    code = "last_security_admin"
    message = "This is the last security administrator. Make another one first."


class WrongPasswordError(InvalidInputError):
    """The current password was not given; while the account rests, the right one is refused alike."""

    code = "wrong_password"
    message = "This is not your current password. After five wrong tries an account rests for 15 minutes."


def ensure_department(tx: Connection, name: str) -> uuid.UUID:
    """The department of this name, made if there is none. Raises InvalidInputError."""
    tidy = name.strip()
    if not 0 < len(tidy) <= MAX_NAME:
        raise InvalidInputError("Give the department a name of at most %(limit)s characters.", limit=MAX_NAME)
    found = tx.scalar(select(department.c.id).where(department.c.name == tidy))
    if found is not None:
        return found
    made = uuid.uuid4()
    tx.execute(insert(department).values(id=made, name=tidy))
    return made


def create(
    tx: Connection,
    actor: Actor,
    username: str,
    display_name: str,
    role: Role,
    department_id: uuid.UUID | None = None,
    password: str | None = None,
    locale: str = "zh",
) -> uuid.UUID:
    """Make an account; without a password it signs in by one-time links only. Raises InvalidInputError,
    ConflictError when the name is taken."""
    name = username.strip().lower()
    if not USERNAME.fullmatch(name):
        raise InvalidInputError("A user name has up to 64 of: a to z, 0 to 9, dot, dash, underscore.")
    if tx.scalar(select(account.c.id).where(account.c.username == name)) is not None:
        raise ConflictError("The user name %(name)s is taken.", name=name)
    made = uuid.uuid4()
    tx.execute(
        insert(account).values(
            id=made,
            username=name,
            password_hash=None if password is None else _hashed(password),
            locale=locale,
            **_checked(tx, display_name, role, department_id),
        )
    )
    details = {"username": name, "role": role.value}
    log.append(tx, Action.ACCOUNT_CREATE, actor, "account", made, details=details)
    return made


def change(
    tx: Connection,
    actor: Actor,
    account_id: uuid.UUID,
    display_name: str,
    role: Role,
    department_id: uuid.UUID | None,
) -> None:
    """Change who someone is. A new role or department ends their sessions. Raises NotFoundError,
    InvalidInputError, LastSecurityAdminError."""
    known = _locked(tx, account_id)
    if role is not Role.SECURITY_ADMIN:
        _require_another_security_admin(tx, known)
    values = _checked(tx, display_name, role, department_id)
    tx.execute(update(account).where(account.c.id == account_id).values(**values))
    if (known.role, known.department_id) != (role.value, department_id):
        sessions.kill_all(tx, account_id, actor, "role changed")
    details = {"role": role.value, "was": known.role}
    log.append(tx, Action.ACCOUNT_CHANGE, actor, "account", account_id, details=details)


def set_password(tx: Connection, actor: Actor, account_id: uuid.UUID, password: str) -> None:
    """Give an account a new password and end its sessions. Raises NotFoundError, InvalidInputError."""
    _locked(tx, account_id)
    values = {"password_hash": _hashed(password), "failed_sign_ins": 0, "locked_until": None}
    tx.execute(update(account).where(account.c.id == account_id).values(**values))
    sessions.kill_all(tx, account_id, actor, "password changed")
    log.append(tx, Action.ACCOUNT_CHANGE, actor, "account", account_id, details={"password": "changed"})


def remove_password(tx: Connection, actor: Actor, account_id: uuid.UUID) -> None:
    """Take a forgotten password away, which ends the account's sessions: it signs in by links until its
    person sets a new one. Raises NotFoundError."""
    if _locked(tx, account_id).password_hash is None:
        return
    values = {"password_hash": None, "failed_sign_ins": 0, "locked_until": None}
    tx.execute(update(account).where(account.c.id == account_id).values(**values))
    sessions.kill_all(tx, account_id, actor, "password removed")
    log.append(tx, Action.ACCOUNT_CHANGE, actor, "account", account_id, details={"password": "removed"})


def set_own_password(
    user: User, current: str, password: str, settings: Settings | None = None
) -> sessions.SignedIn:
    """Give the signed-in person a new password; all their sessions and links end, and a fresh session begins.

    Whoever has a password proves it first, so that a borrowed session cannot take the account over. Each
    wrong one counts as a failed sign-in and is on the audit log. Raises InvalidInputError and
    WrongPasswordError (with `field`), UnauthenticatedError when the session has ended meanwhile.
    """
    settings = settings or config.load()
    check_password(password)
    with transaction("staff", settings) as tx:
        proven = not get(tx, user.account_id).has_password
    if not proven and LocalDirectory(settings).authenticate(user.username, current) is None:
        actor, reason = Actor.of(user), "wrong current password"
        log.denied(Action.ACCOUNT_CHANGE, actor, "account", user.account_id, reason, settings=settings)
        raise WrongPasswordError(field="current")
    with transaction("staff", settings) as tx:
        person = person_of(_locked(tx, user.account_id))
        # A password that was set since ended this session, so what was proven above still holds.
        sessions.require_live(tx, user)
        set_password(tx, Actor.of(user), user.account_id, password)
        if person is None:
            raise NotFoundError()
        return sessions.begin(tx, settings, person, user.address, "new password")


def set_disabled(tx: Connection, actor: Actor, account_id: uuid.UUID, disabled: bool) -> None:
    """Disable an account, which ends its sessions, or enable it again. Raises NotFoundError,
    LastSecurityAdminError."""
    known = _locked(tx, account_id)
    if disabled == (known.disabled_at is not None):
        return
    if disabled:
        _require_another_security_admin(tx, known)
    tx.execute(
        update(account).where(account.c.id == account_id).values(disabled_at=func.now() if disabled else None)
    )
    if disabled:
        sessions.kill_all(tx, account_id, actor, "account disabled")
    log.append(tx, Action.ACCOUNT_CHANGE, actor, "account", account_id, details={"disabled": disabled})


def list_all(tx: Connection) -> Sequence[Row[Any]]:
    """Every account with `department` (its name or None) and `has_password`, by user name; never a
    password's hash."""
    return tx.execute(_shown().order_by(account.c.username)).all()


def get(tx: Connection, account_id: uuid.UUID) -> Row[Any]:
    """One account, as `list_all` gives it. Raises NotFoundError."""
    row = tx.execute(_shown().where(account.c.id == account_id)).one_or_none()
    if row is None:
        raise NotFoundError()
    return row


def check_password(password: str) -> None:
    """Raises InvalidInputError, with `field`, for what may not be a password."""
    if len(password) < MIN_PASSWORD:
        raise InvalidInputError(
            "A password has at least %(least)s characters.", least=MIN_PASSWORD, field="password"
        )
    if len(password) > MAX_PASSWORD:
        raise InvalidInputError(
            "A password has at most %(most)s characters.", most=MAX_PASSWORD, field="password"
        )


def _shown() -> Select[Any]:
    columns = [column for column in account.c if column.name != "password_hash"]
    return select(
        *columns,
        department.c.name.label("department"),
        account.c.password_hash.is_not(None).label("has_password"),
    ).outerjoin(department, department.c.id == account.c.department_id)


def _checked(
    tx: Connection, display_name: str, role: Role, department_id: uuid.UUID | None
) -> dict[str, Any]:
    tidy = display_name.strip()
    if not 0 < len(tidy) <= MAX_NAME:
        raise InvalidInputError("Enter a name of at most %(limit)s characters.", limit=MAX_NAME)
    if role is Role.CANDIDATE:
        raise InvalidInputError("Candidates have no account; they come by their link.")
    if role is Role.DEPARTMENT_HEAD and department_id is None:
        raise InvalidInputError("Choose the department of this department head.")
    if (
        department_id is not None
        and tx.scalar(select(department.c.id).where(department.c.id == department_id)) is None
    ):
        raise InvalidInputError("There is no such department.")
    return {"display_name": tidy, "role": role.value, "department_id": department_id}


def _hashed(password: str) -> str:
    check_password(password)
    return hash_password(password)


def _locked(tx: Connection, account_id: uuid.UUID) -> Row[Any]:
    # Changes to accounts go one after another, so two cannot each remove the other's last administrator.
    tx.execute(text("SELECT pg_advisory_xact_lock(hashtext('fupan accounts'))"))
    row = tx.execute(select(account).where(account.c.id == account_id)).one_or_none()
    if row is None:
        raise NotFoundError()
    return row


def _require_another_security_admin(tx: Connection, known: Row[Any]) -> None:
    if known.role != Role.SECURITY_ADMIN or known.disabled_at is not None:
        return
    others = tx.scalar(
        select(func.count())
        .select_from(account)
        .where(
            account.c.role == Role.SECURITY_ADMIN.value,
            account.c.disabled_at.is_(None),
            account.c.id != known.id,
        )
    )
    if not others:
        raise LastSecurityAdminError()
