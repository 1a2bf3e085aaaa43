"""Who people are and whether a password is theirs. Local accounts now; LDAP behind the same interface."""

from __future__ import annotations

import datetime as dt
import functools
import uuid
from dataclasses import dataclass
from typing import Any, Protocol

import argon2
from sqlalchemy import Connection, Row, func, select, update

from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import Role
from appliance.tables import account

MAX_FAILURES = 5
LOCKED_FOR = dt.timedelta(minutes=15)
MAX_PASSWORD = 1024

_hasher = argon2.PasswordHasher()


@dataclass(frozen=True)
class Person:
    """Someone the directory knows and who may sign in."""

    account_id: uuid.UUID
    username: str
    display_name: str
    role: Role
    department_id: uuid.UUID | None
    locale: str


class Directory(Protocol):
    """Where people and their roles come from."""

    def find(self, username: str) -> Person | None:
        """The person of this name, unless unknown or disabled."""

    def authenticate(self, username: str, password: str) -> Person | None:
        """The person, if the password is theirs. Unknown, disabled, locked and wrong all give None after
        the same work."""


class LocalDirectory:
    """Accounts in the product's own table: for the embedded default and for break-glass.

    Five wrong passwords lock an account for fifteen minutes. A try is counted before the password is
    looked at, so tries at the same time cannot exceed the limit.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings

    def find(self, username: str) -> Person | None:
        with transaction("staff", self._settings) as tx:
            return person_of(_by_name(tx, username))

    def authenticate(self, username: str, password: str) -> Person | None:
        stored = self._count_try(username)
        if not _matches(stored or _dummy_hash(), password) or stored is None:
            return None
        with transaction("staff", self._settings) as tx:
            values: dict[str, Any] = {"failed_sign_ins": 0, "locked_until": None}
            if _hasher.check_needs_rehash(stored):
                values["password_hash"] = _hasher.hash(password)
            tx.execute(update(account).where(account.c.username == username.lower()).values(**values))
            return person_of(_by_name(tx, username))

    def _count_try(self, username: str) -> str | None:
        """Count a try and return the hash to compare with; None when this account cannot sign in."""
        with transaction("staff", self._settings) as tx:
            row = _by_name(tx, username, lock=True)
            if row is None or row.disabled_at is not None or row.password_hash is None:
                return None
            now = tx.scalar(select(func.now()))
            assert now is not None
            if row.locked_until is not None and row.locked_until > now:
                return None
            count = row.failed_sign_ins + 1
            values: dict[str, Any] = {"failed_sign_ins": count}
            if count >= MAX_FAILURES:
                values = {"failed_sign_ins": 0, "locked_until": now + LOCKED_FOR}
            tx.execute(update(account).where(account.c.id == row.id).values(**values))
            stored: str = row.password_hash
            return stored


def hash_password(password: str) -> str:
    """Argon2id with the library's recommended cost."""
    return _hasher.hash(password)


def person_of(row: Row[Any] | None) -> Person | None:
    """A person from an account's row; None for nobody and for a disabled account."""
    if row is None or row.disabled_at is not None:
        return None
    return Person(row.id, row.username, row.display_name, Role(row.role), row.department_id, row.locale)


def _by_name(tx: Connection, username: str, lock: bool = False) -> Row[Any] | None:
    statement = select(account).where(account.c.username == username.lower())
    return tx.execute(statement.with_for_update() if lock else statement).one_or_none()


def _matches(stored: str, password: str) -> bool:
    try:
        return _hasher.verify(stored, password[:MAX_PASSWORD])
    except argon2.exceptions.VerificationError:
        return False


@functools.cache
def _dummy_hash() -> str:
    """What a password is compared with where there is none, so that the answer takes as long."""
    return _hasher.hash("no one has this password")
