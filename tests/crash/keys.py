"""What the keyholder does with keys: a vault's first unlock, an erasure, a daily backup of the records.

The real keys of a real embedded vault, below the event that the gate would demand.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections.abc import Iterator
from pathlib import Path

from appliance.config import Database, Settings, VaultSettings
from appliance.keyholder import vault_file
from appliance.keyholder.ceremony import Ceremonies
from appliance.keyholder.custody import Custody
from appliance.keyholder.journal import Journal
from appliance.keyholder.keyring import Keyring
from appliance.keyholder.unlock import create_vault
from storage.check import check_keys
from storage.vault import IntegrityError, generations, prove_generation
from tests.crash.workload import Step, Workload

DEPARTMENT = uuid.UUID(int=1)
RECORDINGS = [uuid.UUID(int=10), uuid.UUID(int=11), uuid.UUID(int=12)]
MARK, EVENT = uuid.UUID(int=20), uuid.UUID(int=21)
TODAY = dt.date(2026, 11, 27)


def settings_of(folder: Path) -> Settings:
    """An embedded site whose key backups lie beside its data."""
    return Settings(
        data=folder / "data",
        staff_url="http://127.0.0.1",
        intake_url="http://127.0.0.1",
        database=Database(host="/nonexistent"),
        vault=VaultSettings(key_backup=str(folder / "key-backups")),
    )


@contextlib.contextmanager
def unlocked(folder: Path) -> Iterator[Custody]:
    """The site's keys as a keyholder has them after its start; the vault is made where there is none."""
    settings = settings_of(folder)
    journal = Journal(vault_file.own_folder(settings) / "journal")
    try:
        create_vault(settings)
        custody = Custody(settings, journal)
        keyring = Keyring(settings, Ceremonies())
        slot = keyring.at_hand(custody.description)
        assert slot is not None
        custody.unlock(slot, keyring.slot_key(custody.description, slot))
        yield custody
        custody.rewrapping.wait()
        custody.lock()
    finally:
        journal.close()


class Keys(Workload):
    """Looks at what a crash left by unlocking the vault, as the next start does."""

    slow = True  # a vault is unlocked to look at it

    def __init__(self, size: int, suite: int = 1) -> None:
        self.size, self.suite = size, suite

    def require(self, folder: Path, acknowledged: list[str], what: str) -> None:
        with unlocked(folder) as custody:  # which settles by itself what an erasure left half-done
            self.require_keys(folder, custody, acknowledged, what)
        findings = check_keys(settings_of(folder).keys_folder)
        assert [finding for finding in findings if not finding.harmless] == [], what

    def require_keys(self, folder: Path, custody: Custody, acknowledged: list[str], what: str) -> None:
        """Assert what must hold of the unlocked keys."""

    def require_done(self, folder: Path, what: str) -> None:
        self.require(folder, [line for line, _ in self.steps(folder)], what)


class FirstUnlock(Keys):
    """A new vault: its description, its slot, service keys, ledger key, a month of day keys."""

    everyday = False
    calls = frozenset({"openat", "mkdir", "pwritev2", "fsync", "link"})

    def steps(self, folder: Path) -> Iterator[Step]:
        yield "unlocked", lambda: self._unlock(folder)

    @staticmethod
    def _unlock(folder: Path) -> None:
        with unlocked(folder):
            pass


class Erasing(Keys):
    """The keys of a person and of `size` recordings, one recording being held."""

    calls = frozenset({"pwritev2", "fdatasync", "fsync", "unlink"})

    def prepare(self, folder: Path) -> None:
        with unlocked(folder) as custody:
            for recording in RECORDINGS:
                custody.tree.create_recording_key(recording, DEPARTMENT, 2026)

    def steps(self, folder: Path) -> Iterator[Step]:
        yield "erased", lambda: self._erase(folder)

    @staticmethod
    def _erase(folder: Path) -> None:
        with unlocked(folder) as custody:
            custody.erasures.erase(MARK, EVENT, None, RECORDINGS[:2], RECORDINGS[2:])

    def require_keys(self, folder: Path, custody: Custody, acknowledged: list[str], what: str) -> None:
        there = [_is_there(custody, recording) for recording in RECORDINGS]
        assert there[2], f"{what}: the held recording's key went"
        if custody.erasures.chain().of_mark(MARK) is None:
            assert "erased" not in acknowledged, what
            assert there == [True, True, True], f"{what}: a key went before its entry was on the ledger"
        else:
            assert there == [False, False, True], f"{what}: a key outlives its entry"


class KeyBackup(Keys):
    """Today's generation beside that of a week ago, which it outlives."""

    calls = frozenset({"openat", "pwritev2", "fsync", "rename"})

    def prepare(self, folder: Path) -> None:
        with unlocked(folder) as custody:
            custody.tree.create_recording_key(RECORDINGS[0], DEPARTMENT, 2026)
            custody.backups.make(TODAY - dt.timedelta(days=8))
            custody.backups.make(TODAY - dt.timedelta(days=1))
            custody.tree.create_recording_key(RECORDINGS[1], DEPARTMENT, 2026)

    def steps(self, folder: Path) -> Iterator[Step]:
        yield "backed up", lambda: self._make(folder)

    @staticmethod
    def _make(folder: Path) -> None:
        with unlocked(folder) as custody:
            custody.backups.make(TODAY)

    def require_keys(self, folder: Path, custody: Custody, acknowledged: list[str], what: str) -> None:
        found = generations(folder / "key-backups")
        old, proven = TODAY - dt.timedelta(days=8), {}
        for each in found:
            try:
                proven[each.day] = prove_generation(each.path).names
            except IntegrityError:  # half overwritten, which only begins once today's is whole
                assert each.day == old, what
                assert TODAY in proven, what
        assert ("recording", str(RECORDINGS[0])) in proven[TODAY - dt.timedelta(days=1)], what
        if "backed up" in acknowledged:
            assert ("recording", str(RECORDINGS[1])) in proven[TODAY], what
            assert old not in {each.day for each in found}, what


def _is_there(custody: Custody, recording: uuid.UUID) -> bool:
    return custody.store.path("recording", str(recording)).exists()
