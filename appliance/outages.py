"""What a job waits for: faults of the site that pass, and that are no failure of the work itself.

A job that meets one is ordered again after a while, for as long as it takes; its tries are not counted. What
waits for the vault has no job at all, but its row says so.
"""

from __future__ import annotations

import errno

import sqlalchemy.exc

from appliance.child import ChildFailedError, ChildStoppedError
from appliance.errors import (
    AuditUnavailableError,
    DatabaseDownError,
    FupanError,
    KeyholderDownError,
    StorageDownError,
    StorageFullError,
    TooManyKeysError,
    VaultLockedError,
)
from storage.vault import StoreDown, VaultFull

FULL = StorageFullError.code
# What the vault must be unlocked for. Nothing tries again by itself: waiting.py takes it up once it is.
VAULT = frozenset({VaultLockedError.code, KeyholderDownError.code})
DATABASE = frozenset({DatabaseDownError.code, AuditUnavailableError.code})
# Reason → seconds until the next try. A try that meets a full disk may have written much before.
WAIT_SECONDS = {
    DatabaseDownError.code: 5,
    AuditUnavailableError.code: 5,
    VaultLockedError.code: 15,
    KeyholderDownError.code: 15,
    TooManyKeysError.code: 300,
    StorageDownError.code: 30,
    FULL: 60,
}
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def reason(error: BaseException) -> str | None:
    """Which of WAIT_SECONDS an error comes from; None when the work itself failed."""
    if isinstance(error, sqlalchemy.exc.OperationalError):
        return DatabaseDownError.code
    if isinstance(error, FupanError) and error.code in WAIT_SECONDS:
        return error.code
    if isinstance(error, VaultFull):
        return FULL
    if isinstance(error, ChildFailedError) and error.kind == FULL:
        return FULL
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return FULL
    if isinstance(error, StoreDown) or (isinstance(error, OSError) and error.errno == errno.EROFS):
        return StorageDownError.code
    return None


def awaited(error: Exception) -> str | None:
    """What a job that met this error waits for, None when its work failed.

    Raises the error itself where the worker has to have it: a stop, and a database without which nothing can
    be ordered.
    """
    outage = reason(error)
    if isinstance(error, ChildStoppedError) or outage in DATABASE:
        raise error
    return outage
