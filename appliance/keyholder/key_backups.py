"""Backups of the key records, in a folder apart from database and media: one generation a day, seven kept.

The keyholder makes them, locked or not: what it copies is wrapped. A day key is only published, and what a
candidate's browser sealed only given up at intake, once the records that open it are in a generation that was
read back.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import threading
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from appliance.config import Settings
from appliance.keyholder.erasures import Erasures
from storage.vault import (
    Generation,
    KeyStore,
    VaultError,
    generations,
    prove_generation,
    prune_generations,
    thin_generations,
    write_generation,
    write_once,
)

KEPT_DAYS = 7

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Made:
    """One backup: its day (UTC), its records, those that are missing or damaged, the days removed.

    What is missing or damaged is in it all the same where an earlier generation has it.
    """

    day: str
    records: int
    damaged: tuple[str, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True)
class BackupState:
    """How the backups are. `days`: of the readable generations, newest first; `unreadable`: of the others."""

    configured: bool
    days: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()


class KeyBackups:
    """The generations of one vault. Safe across threads."""

    def __init__(
        self, settings: Settings, vault_id: uuid.UUID, store: KeyStore, erasures: Erasures, description: Path
    ) -> None:
        """`description`: the file that says which vault this is, which goes along."""
        self._folder = settings.key_backup_folder
        self._vault_id, self._store, self._erasures = vault_id, store, erasures
        self._description = description
        self._noted = description.with_name("backed-up")  # outlasts the setting, as the generations do
        self._guard = threading.RLock()
        self._names: dict[tuple[Path, int, int], Collection[tuple[str, str]]] = {}

    @property
    def configured(self) -> bool:
        """Whether there is a folder for them."""
        return self._folder is not None

    @property
    def kept_days(self) -> int:
        """For how many days generations hold a key that is destroyed now; 0 only where none was ever made."""
        return KEPT_DAYS if self.configured or self._noted.exists() else 0

    def holds(self, kind: str, key_id: str) -> bool:
        """Whether a record is in a generation that was read back; where none is configured, nothing waits for
        one, so it counts as held."""
        if self._folder is None:
            return True
        with self._guard:
            return any((kind, key_id) in (self._read(each) or ()) for each in self._generations())

    def state(self) -> BackupState:
        """Which generations there are, each read whole unless that was done before."""
        if self._folder is None:
            return BackupState(False)
        with self._guard:
            found = [(str(each.day), self._read(each) is not None) for each in self._generations()]
        readable = tuple(day for day, fine in found if fine)
        return BackupState(True, readable, tuple(day for day, fine in found if not fine))

    def due(self, today: dt.date) -> bool:
        """Whether today's generation is still to be made."""
        return self._folder is not None and all(each.day != today for each in self._generations())

    def make(self, today: dt.date) -> Made | None:
        """Write today's generation and remove those that are too old; None where no folder is configured.

        None is removed while a record is missing or damaged, since an old one may hold it whole, nor by the
        first after a gap, since the clock may be ahead: those that are too old lose what was erased instead.
        Raises VaultError, OSError.
        """
        if self._folder is None:
            return None
        with self._guard:
            lines = self._erasures.lines()
            description = self._description.read_bytes()
            with contextlib.suppress(FileExistsError):
                write_once(self._noted, f"{self._folder}\n".encode())
            before, erased = self._generations(), self._erasures.named
            proven, lost = write_generation(
                self._folder,
                today,
                self._vault_id,
                self._store,
                lines,
                description,
                self._kept_in(before, erased),
            )
            damaged = tuple(f"{kind} {key_id}" for kind, key_id in lost)
            for name in damaged:
                logger.error("the key record %s is missing or damaged: fupan vault restore-keys", name)
            removed = []
            if not lost and not _resumes(before, today):
                removed = prune_generations(self._folder, today, KEPT_DAYS)
            thin_generations(self._folder, today, KEPT_DAYS, erased)
            self._names.clear()
        days = tuple(str(each.day) for each in removed)
        return Made(str(today), len(proven.names), damaged, days)

    def _kept_in(
        self, found: list[Generation], erased: Collection[tuple[str, str]]
    ) -> list[tuple[Path, Collection[tuple[str, str]]]]:
        """The readable generations, each with its records that were not erased since."""
        return [
            (each.path, [name for name in names if name not in erased])
            for each in found
            if (names := self._read(each)) is not None
        ]

    def _generations(self) -> list[Generation]:
        return [] if self._folder is None else generations(self._folder)

    def _read(self, generation: Generation) -> Collection[tuple[str, str]] | None:
        """Names of the records in a generation; None where it cannot be read or is of another vault."""
        try:
            status = generation.path.stat()
            version = generation.path, status.st_mtime_ns, status.st_size
            if version not in self._names:
                proven = prove_generation(generation.path)
                if proven.vault_id != self._vault_id:
                    logger.error("the key backup %s is of another vault", generation.path)
                    return None
                self._names[version] = proven.names
            return self._names[version]
        except (VaultError, OSError) as error:
            logger.error("the key backup %s cannot be read: %s", generation.path, error)
            return None


def _resumes(before: list[Generation], today: dt.date) -> bool:
    """Whether the last one is older than those that are kept: nobody was here, or the clock is ahead."""
    days = [each.day for each in before if each.day <= today]
    return bool(days) and (today - max(days)).days >= KEPT_DAYS
