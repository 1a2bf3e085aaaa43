"""What the keyholder does with each request: find who answers it; every failure becomes a typed error."""

from __future__ import annotations

import logging
from typing import Any

from appliance.config import Settings
from appliance.errors import (
    InvalidInputError,
    KeyRefusedError,
    LedgerRefusedError,
    StorageFullError,
    damaged,
)
from appliance.keyholder.answers.days import Days
from appliance.keyholder.answers.desk import Desk, Operation, Peer, record
from appliance.keyholder.answers.documents import Documents
from appliance.keyholder.answers.key_backups import BackupAnswers
from appliance.keyholder.answers.orders import Orders
from appliance.keyholder.answers.plain import Plain
from appliance.keyholder.answers.uses import Uses
from appliance.keyholder.custody import Custody
from appliance.keyholder.journal import Journal
from appliance.keyholder.wire import Request
from appliance.vault_errors import NoVaultError
from storage.vault import IntegrityError, LedgerError, VaultError, VaultFull

FAMILIES = (Plain, Orders, Uses, Documents, BackupAnswers, Days)

logger = logging.getLogger(__name__)


class Service:
    """Answers requests; safe across threads."""

    def __init__(self, settings: Settings, custody: Custody | None, journal: Journal) -> None:
        """Without `custody` the site has no vault yet, and every request is told so."""
        self._settings, self.custody, self._journal = settings, custody, journal
        self._operations: dict[str, Operation] = {}
        if custody is not None:
            self.open(custody)

    def open(self, custody: Custody) -> None:
        """Serve this vault from now on."""
        self.custody = custody
        self.desk = Desk(self._settings, custody, self._journal)
        for family in FAMILIES:
            self._operations |= family(self.desk).operations()

    @property
    def locked(self) -> bool:
        """Whether the vault key is away."""
        return self.custody is None or self.custody.locked

    def close(self) -> None:
        """Forget the keys and let go of the journal."""
        if self.custody is not None:
            self.custody.lock()
        self._journal.close()

    def turn_away(self, peer: Peer) -> KeyRefusedError:
        """What a process of another user gets, whatever it asks; that it came is in the journal."""
        reason = "this user is not answered"
        record(self._journal, "connect", peer, {"refused": reason})
        return KeyRefusedError(reason=reason)

    def answer(self, line: bytes, peer: Peer) -> Any:
        """The result of one request line. Raises FupanError for everything foreseen."""
        request = Request(line)
        operation = self._operations.get(request.operation)
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
