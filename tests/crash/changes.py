"""Changes of keys: of the vault key, of a department and year, of the slots. Media stay as they are."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from appliance.keyholder.ceremony import Ceremonies
from appliance.keyholder.custody import Custody
from appliance.keyholder.keyring import Keyring
from appliance.keyholder.memory import SecretBytes
from appliance.keyholder.providers.file import FileProvider
from storage.vault import (
    Rekey,
    Rotate,
    Vault,
    new_key,
    new_slot,
    new_slot_id,
    parse_record,
    vault_check,
)
from tests.crash.keys import DEPARTMENT, RECORDINGS, Keys, settings_of, unlocked
from tests.crash.workload import Step

TEXT = b"what was said"


class _Change(Keys):
    """Whatever happens, what was sealed before opens, and no change stays half-done."""

    calls = frozenset({"openat", "pwritev2", "fsync", "rename"})

    def prepare(self, folder: Path) -> None:
        with unlocked(folder) as custody:
            for recording in RECORDINGS[: self.size + 1]:
                custody.tree.create_recording_key(recording, DEPARTMENT, 2026)
                header, key = custody.tree.new_file_key(recording, "document", "transcript")
                Vault(folder / "data" / "vault").write_document(recording, "transcript", header, key, TEXT)

    def steps(self, folder: Path) -> Iterator[Step]:
        yield "changed", lambda: self._run(folder)

    def _run(self, folder: Path) -> None:
        with unlocked(folder) as custody:
            if custody.description.pending is None:
                self.begin(folder, custody)
            custody.rewrapping.finish()

    @abc.abstractmethod
    def begin(self, folder: Path, custody: Custody) -> None:
        """Write down the change, as the keyholder does for an order."""

    def require_keys(self, folder: Path, custody: Custody, acknowledged: list[str], what: str) -> None:
        custody.rewrapping.wait()  # an unlock goes on by itself with what was begun
        assert custody.description.pending is None, what
        vault = Vault(folder / "data" / "vault")
        for recording in RECORDINGS[: self.size + 1]:
            key = custody.tree.file_key(vault.header_of(recording, "document", "transcript"))
            assert vault.read_document(recording, "transcript", key) == TEXT, what


class Rekeying(_Change):
    """A new vault key: a month of day keys, department-and-year keys and the slot are wrapped anew."""

    everyday = False

    def begin(self, folder: Path, custody: Custody) -> None:
        description, keyring = custody.description, Keyring(settings_of(folder), Ceremonies())
        new = SecretBytes(new_key())
        slots = []
        for slot in description.slots:
            with keyring.slot_key(description, slot) as slot_key:
                slots.append(slot.rewrapped(slot_key, new.buffer, description.suite))
        pending = Rekey(vault_check(description.vault_id, new.buffer), tuple(slots))
        custody.begin_rekey(replace(description, pending=pending), new)


class Rotating(_Change):
    """A new department-and-year key: the recording keys under it are wrapped anew."""

    def begin(self, folder: Path, custody: Custody) -> None:
        del folder
        name = f"{DEPARTMENT}.2026"
        record = custody.vault_key.wrap("department-year", name, new_key())
        custody.change(replace(custody.description, pending=Rotate(parse_record(record))))


class Resharing(_Change):
    """A slot that takes the place of another: the same vault key under a new slot key."""

    def begin(self, folder: Path, custody: Custody) -> None:
        description, provider = custody.description, FileProvider(settings_of(folder))
        slot_id = new_slot_id()
        with provider.make(slot_id) as slot_key, custody.vault_key.buffers() as (vault_key, *_):
            slot = new_slot(
                "file", description.vault_id, slot_key, vault_key, description.suite, slot_id=slot_id
            )
            custody.change(replace(description, slots=(slot,)))
        for old in description.slots:
            provider.remove(old.id)
