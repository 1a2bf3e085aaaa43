"""Errors a person can act on.

An error carries an English message id (translated at the edge by gettext), its parameters, a stable
machine-readable code and the HTTP status that fits. Raise a subclass; never a bare FupanError.
"""

from __future__ import annotations


class FupanError(Exception):
    """Base of every expected failure. `message` is a gettext id with named %-parameters."""

    status = 500
    code = "internal"
    message = "Fupan could not do this. Nothing was changed. Tell your administrator the request number."

    def __init__(self, message: str | None = None, /, **params: object) -> None:
        if message is not None:
            self.message = message
        self.params = params
        super().__init__(self.message % params if params else self.message)


class NotFoundError(FupanError):
    """Unknown and forbidden look the same."""

    status, code = 404, "not_found"
    message = "There is nothing here, or it is not yours to see."


class InvalidInputError(FupanError):
    """The person can correct what they sent."""

    status, code = 422, "invalid"
    message = "Please check what you entered: %(what)s"


class ConflictError(FupanError):
    """What was asked contradicts what is already so."""

    status, code = 409, "conflict"
    message = "This has already changed. Reload the page to see how it is now."


class ForbiddenError(FupanError):
    """Signed in, but this role may not do this at all (no object is revealed)."""

    status, code = 403, "forbidden"
    message = "Your role does not include this. Ask your security administrator if you need it."


class UnauthenticatedError(FupanError):
    """Nobody is signed in."""

    status, code = 401, "unauthenticated"
    message = "Please sign in."


class GoneError(FupanError):
    """It was here and is over: expired, finished, sealed."""

    status, code = 410, "gone"
    message = "This is over and cannot be changed any more."


class TooLargeError(FupanError):
    """An input is over its stated limit."""

    status, code = 413, "too_large"
    message = "This is larger than the limit of %(limit)s."


class VaultLockedError(FupanError):
    """Keys are locked: replay, sealing and analysis wait; recording goes on."""

    status, code = 503, "vault_locked"
    message = "The vault is locked. Recordings are still being saved; replay returns once it is unlocked."


class LedgerRefusedError(FupanError):
    """The erase ledger cannot be believed, so nothing is unlocked: what was erased might come back."""

    status, code = 503, "ledger_refused"
    message = (
        "The vault stays locked: its erase ledger cannot be believed (%(what)s). Nothing was changed. "
        "Bring back what is named, or restore the newest key backup, and unlock again."
    )


class KeyBackupError(FupanError):
    """A backup of the key records could not be made, or not be restored."""

    status, code = 507, "key_backup"
    message = "The key backup failed: %(what)s. The key records and the earlier backups are as they were."


class KeyholderDownError(FupanError):
    """The keyholder does not answer."""

    status, code = 503, "keyholder_down"
    message = "The keyholder is not running. Nothing is lost; try again soon or tell your administrator."


class KeyRefusedError(FupanError):
    """The keyholder found no live audit event for this use of a key."""

    status, code = 403, "key_refused"
    message = "The key was refused because the access record for it is missing, closed or expired."


class TooManyKeysError(FupanError):
    """So many recordings' keys were asked for that this one has to wait; `seconds` says how long."""

    status, code = 429, "too_many_keys"
    message = (
        "So many recordings were opened within the last hour that this one has to wait. Try again in "
        "%(minutes)s minutes. The security administrator and the auditor have been told."
    )


class DatabaseDownError(FupanError):
    """PostgreSQL does not answer."""

    status, code = 503, "database_down"
    message = "The database is not answering. Recordings are still being saved; this page returns by itself."


class DatabaseDoubtfulError(FupanError):
    """What the keyholder knows by itself is not in the database, so nothing is destroyed by its word."""

    status, code = 503, "database_doubtful"
    message = (
        "The database is not the one that belongs to this vault, or an older one (%(what)s). No key was "
        "destroyed. Restore its newest backup; what that lacks for good: fupan vault accept-database"
    )


class AuditUnavailableError(FupanError):
    """The access could not be recorded, so it did not happen."""

    status, code = 503, "audit_unavailable"
    message = "This access could not be recorded, so it was not allowed. Try again in a minute."


class StorageFullError(FupanError):
    """No room for more; running recordings keep theirs."""

    status, code = 507, "full"
    message = "There is no room at the moment. What you recorded is kept in this browser and sent later."


class StorageDownError(FupanError):
    """The disk or the store with the sealed files cannot serve now."""

    status, code = 503, "storage_down"
    message = "What this recording is kept on does not answer. Nothing is lost; try again in a minute."


class DamagedError(FupanError):
    """Stored bytes do not prove genuine."""

    status, code = 502, "damaged"
    message = "A stored file is damaged (%(kind)s) and was not shown. The administrator has been told."


class NewerFormatError(DamagedError):
    """Stored bytes state a version or suite that this release does not know."""

    status, code = 501, "newer_format"
    message = (
        "This was stored by a newer release of Fupan, which this one cannot read. Nothing was changed. "
        "Ask your administrator to bring this site to that release."
    )


def damaged(kind: str) -> DamagedError:
    """What people are told of an IntegrityError of storage of this kind."""
    return NewerFormatError() if kind == "version" else DamagedError(kind=kind)


class ConfigurationError(FupanError):
    """A setting or the environment is wrong; raised at start-up, before anything runs."""

    status, code = 500, "configuration"
    message = "Fupan cannot start: %(what)s"
