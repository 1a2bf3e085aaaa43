"""Moving a recording's files to the cold tier and back, on two disks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from storage.check import check
from storage.keys import derive_file_key
from storage.objects import DiskObjects
from storage.segment_format import SealedHeader, new_header
from storage.vault import Vault, claim_cold, copy_files, drop_files
from tests.crash.workload import Step, Workload
from tests.storage import builders


class Moving(Workload):
    """`size` + 1 documents that go to the cold tier and come back."""

    slow = True  # every file is read wherever it is, with both tiers looked over
    calls = frozenset({"openat", "mkdir", "pwritev2", "fsync", "fdatasync", "rename", "link", "unlink"})

    def __init__(self, size: int) -> None:
        self.texts = {f"note.v{i}": f"version {i} ".encode() * 50 for i in range(size + 1)}

    def prepare(self, folder: Path) -> None:
        for name, text in self.texts.items():
            header = new_header(builders.VAULT, builders.RECORDING, "document", name)
            key = self._file_key(header)
            self._vault(folder).write_document(builders.RECORDING, name, header, key, text)

    def steps(self, folder: Path) -> Iterator[Step]:
        yield "cold", lambda: self._move(folder, "cold")
        yield "hot", lambda: self._move(folder, "hot")

    def require(self, folder: Path, acknowledged: list[str], what: str) -> None:
        """Every file is there, whichever tier it is on."""
        vault = self._vault(folder)
        findings = check(vault, full=True, file_key=self._file_key)
        assert [finding for finding in findings if not finding.harmless] == [], what
        for name, text in self.texts.items():
            key = self._file_key(vault.header_of(builders.RECORDING, "document", name))
            assert vault.read_document(builders.RECORDING, name, key) == text, what
        if "hot" in acknowledged:
            assert {file.tier for file in vault.list(builders.RECORDING)} == {"hot"}, what

    def require_done(self, folder: Path, what: str) -> None:
        self.require(folder, ["cold", "hot"], what)
        assert check(self._vault(folder)) == [], what

    def _move(self, folder: Path, to: str) -> None:
        vault = self._vault(folder)
        claim_cold(vault, builders.VAULT)
        copied = list(copy_files(vault, builders.RECORDING, to))
        drop_files(vault, builders.RECORDING, "hot" if to == "cold" else "cold", copied)

    @staticmethod
    def _vault(folder: Path) -> Vault:
        return Vault(folder / "hot", DiskObjects(folder / "cold"))

    @staticmethod
    def _file_key(header: SealedHeader) -> bytes:
        return derive_file_key(builders.RECORDING_KEY, header)
