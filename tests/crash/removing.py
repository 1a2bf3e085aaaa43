"""Removing what an erased person's or recording's key once opened, on two tiers."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

from storage.check import check
from storage.keys import derive_file_key
from storage.objects import DiskObjects
from storage.segment_format import new_header
from storage.vault import Vault, claim_cold, copy_files, drop_files
from tests.crash.workload import Step, Workload
from tests.storage import builders

OTHER = uuid.UUID(int=builders.RECORDING.int + 1)  # in the same folder


class Removing(Workload):
    """`size` files on each tier, and one of somebody else's beside them."""

    calls = frozenset({"fsync", "unlink"})

    def __init__(self, size: int) -> None:
        self.size = size

    def prepare(self, folder: Path) -> None:
        vault = self._vault(folder)
        self._write(vault, OTHER, "note")
        for number in range(self.size):
            self._write(vault, builders.RECORDING, f"old.v{number}")
        claim_cold(vault, builders.VAULT)
        drop_files(vault, builders.RECORDING, "hot", list(copy_files(vault, builders.RECORDING, "cold")))
        for number in range(self.size):
            self._write(vault, builders.RECORDING, f"new.v{number}")

    def steps(self, folder: Path) -> Iterator[Step]:
        yield "removed", lambda: self._vault(folder).remove(builders.RECORDING)

    def require(self, folder: Path, acknowledged: list[str], what: str) -> None:
        vault = self._vault(folder)
        assert check(vault, full=True) == [], what
        key = derive_file_key(builders.RECORDING_KEY, vault.header_of(OTHER, "document", "note"))
        assert vault.read_document(OTHER, "note", key) == b"kept", what
        if "removed" in acknowledged:
            assert list(vault.recordings()) == [OTHER], what

    def require_done(self, folder: Path, what: str) -> None:
        self.require(folder, ["removed"], what)

    @staticmethod
    def _vault(folder: Path) -> Vault:
        return Vault(folder / "hot", DiskObjects(folder / "cold"))

    @staticmethod
    def _write(vault: Vault, owner: uuid.UUID, name: str) -> None:
        header = new_header(builders.VAULT, owner, "document", name)
        key = derive_file_key(builders.RECORDING_KEY, header)
        vault.write_document(owner, name, header, key, b"kept")
