"""What the keyholder does with each request: find who answers it; every failure becomes a typed error."""

from __future__ import annotations

import logging
import os
from typing import Any

from appliance.config import Settings
from appliance.errors import (
    InvalidInputError,
    KeyRefusedError,
    LedgerRefusedError,
    StorageFullError,
    damaged,
)
from appliance.keyholder.answers.beginning import Beginning
from appliance.keyholder.answers.belief import Accepting
from appliance.keyholder.answers.ceremonies import Begin, Giving
from appliance.keyholder.answers.changes import Changes
from appliance.keyholder.answers.days import Days
from appliance.keyholder.answers.desk import Desk, Operation, Peer, record
from appliance.keyholder.answers.documents import Documents
from appliance.keyholder.answers.erasing import Erasing
from appliance.keyholder.answers.key_backups import BackupAnswers
from appliance.keyholder.answers.orders import Orders
from appliance.keyholder.answers.plain import Plain
from appliance.keyholder.answers.uses import Uses
from appliance.keyholder.answers.vault_status import VaultStatus
from appliance.keyholder.ceremony import Ceremonies
from appliance.keyholder.custody import Custody
from appliance.keyholder.journal import Journal
from appliance.keyholder.keyring import Keyring
from appliance.keyholder.use_limits import UseLimits
from appliance.keyholder.watch import Watch
from appliance.keyholder.wire import Request
from appliance.vault_errors import NoVaultError, UnlockError
from storage.vault import IntegrityError, LedgerError, ShareError, VaultError, VaultFull

FAMILIES = (
    Plain,
    Orders,
    Uses,
    Documents,
    BackupAnswers,
    Days,
    Erasing,
    Accepting,
    Begin,
    Changes,
    VaultStatus,
)

logger = logging.getLogger(__name__)


class Service:
    """Answers requests; safe across threads."""

    def __init__(
        self,
        settings: Settings,
        custody: Custody | None,
        journal: Journal,
        ceremonies: Ceremonies | None = None,
    ) -> None:
        """Without `custody` the site has no vault yet; then it can be made, and all else is told so."""
        self._settings, self.custody, self._journal = settings, custody, journal
        self.ceremonies = ceremonies or Ceremonies()
        self.watch = Watch(settings, lambda: self.locked, self.lock)
        self._giving = Giving(settings, self.ceremonies, journal).operations()
        self._operations: dict[str, Operation] = {}
        if custody is None:
            self._operations = Beginning(settings, self.ceremonies, journal, self.open).operations()
        else:
            self.open(custody)
        self.watch.start()

    def open(self, custody: Custody) -> None:
        """Serve this vault from now on."""
        self.custody = custody
        keyring = Keyring(self._settings, self.ceremonies)
        limits = UseLimits.of(self._settings.keyholder)
        self.desk = Desk(self._settings, custody, self._journal, self.ceremonies, keyring, limits)
        operations: dict[str, Operation] = {}
        for family in FAMILIES:
            operations |= family(self.desk).operations()
        self._operations = operations

    @property
    def locked(self) -> bool:
        """Whether the vault key is away."""
        return self.custody is None or self.custody.locked

    def lock(self, reason: str) -> None:
        """Forget all keys, by this process' own doing. The audit log is told by the next job that asks."""
        if self.custody is not None:
            self.custody.lock()
        self.ceremonies.end_all()
        record(self._journal, "lock", Peer(os.getpid(), os.geteuid()), {"unrecorded": True, "reason": reason})

    def close(self) -> None:
        """Forget the keys and let go of the journal."""
        self.watch.stop()
        self.ceremonies.end_all()
        if self.custody is not None:
            self.custody.lock()
            self.custody.rewrapping.wait()
        self._journal.close()

    def turn_away(self, peer: Peer) -> KeyRefusedError:
        """What a process of another user gets, whatever it asks; that it came is in the journal."""
        reason = "this user is not answered"
        record(self._journal, "connect", peer, {"refused": reason})
        return KeyRefusedError(reason=reason)

    def answer(self, line: bytes, peer: Peer) -> Any:
        """The result of one request line. Raises FupanError for everything foreseen."""
        request = Request(line)
        operation = self._operations.get(request.operation) or self._giving.get(request.operation)
        if operation is None and self.custody is None:
            raise NoVaultError
        if operation is None:
            raise InvalidInputError(what=f"unknown operation {request.operation}")
        try:
            return operation(request, peer)
        except KeyRefusedError as error:
            refused = {"refused": str(error.params.get("reason", ""))}
            record(self._journal, request.operation, peer, refused)
            raise
        except ShareError as error:
            raise UnlockError(problem=error.kind) from error
        except IntegrityError as error:
            logger.error("%s: %s", request.operation, error)
            raise damaged(error.kind) from error
        except LedgerError as error:
            logger.error("%s: %s", request.operation, error)
            raise LedgerRefusedError(what=error) from error
        except VaultFull as error:
            raise StorageFullError() from error
        except VaultError as error:
            logger.error("%s: %s", request.operation, error)
            raise KeyRefusedError(reason=str(error)) from error
