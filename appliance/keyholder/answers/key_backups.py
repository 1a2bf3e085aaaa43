"""Backups of key records: made and looked at, locked or not, since nothing in them opens by itself."""

from __future__ import annotations

import datetime as dt
from typing import Any

from appliance.errors import KeyBackupError
from appliance.keyholder.answers.desk import Desk, Operation, Peer
from appliance.keyholder.wire import Request
from storage.vault import VaultError


class BackupAnswers:
    """Needs no audit event: it gives nothing away, and its own journal has it."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._backups = desk, desk.custody.backups

    def operations(self) -> dict[str, Operation]:
        """Name → what answers it."""
        return {
            "backup_keys": self._backup_keys,
            "key_backups": self._key_backups,
            "is_backed_up": self._is_backed_up,
        }

    def _backup_keys(self, request: Request, peer: Peer) -> dict[str, Any] | None:
        today = _today()
        if not request.has("again") and not self._backups.due(today):
            return None
        try:
            made = self._backups.make(today)
        except (VaultError, OSError) as error:
            raise KeyBackupError(what=error) from error
        if made is None:
            return None
        self._desk.record(request.operation, peer, {"generation": made.day, "records": made.records})
        return vars(made)

    def _key_backups(self, _request: Request, _peer: Peer) -> dict[str, Any]:
        return vars(self._backups.state())

    def _is_backed_up(self, request: Request, _peer: Peer) -> bool:
        return self._backups.holds(request.text("kind"), request.text("id"))


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()
