"""Putting documents: a first version, further ones, and one that takes the place of another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from storage.check import check
from storage.keys import derive_file_key
from storage.segment_format import new_header
from storage.vault import NotFound, Vault
from tests.crash.workload import Step, Workload
from tests.storage import builders


class Documents(Workload):
    """`size` + 1 versions of a note, and the report over the one that was there."""

    calls = frozenset({"openat", "pwritev2", "fsync", "rename"})

    def __init__(self, size: int, suite: int = 1) -> None:
        self.suite = suite
        self.texts = {f"note.v{i}": f"version {i} ".encode() * 50 for i in range(1, size + 2)}
        self.before, self.after = b"the report as it was", b"the report as it is now" * 10

    def prepare(self, folder: Path) -> None:
        self._put(folder, "report", self.before)

    def steps(self, folder: Path) -> Iterator[Step]:
        for name, text in self.texts.items():
            yield name, lambda name=name, text=text: self._put(folder, name, text)
        yield "report", lambda: self._put(folder, "report", self.after)

    def require(self, folder: Path, acknowledged: list[str], what: str) -> None:
        vault = Vault(folder / "vault")
        findings = check(vault, full=True, file_key=self._file_key)
        assert [finding for finding in findings if not finding.harmless] == [], what
        for name, text in self.texts.items():
            assert self._read(vault, name) in ({text} if name in acknowledged else {text, None}), what
        report = self._read(vault, "report")
        assert report in ({self.after} if "report" in acknowledged else {self.before, self.after}), what

    def require_done(self, folder: Path, what: str) -> None:
        vault = Vault(folder / "vault")
        wanted = {**self.texts, "report": self.after}
        assert {
            file.name: self._read(vault, file.name) for file in vault.list(builders.RECORDING)
        } == wanted, what
        assert list(check(vault, full=True, file_key=self._file_key)) == [], what

    @staticmethod
    def _file_key(header: object) -> bytes:
        return derive_file_key(builders.RECORDING_KEY, header)  # type: ignore[arg-type]

    def _put(self, folder: Path, name: str, text: bytes) -> None:
        header = new_header(builders.VAULT, builders.RECORDING, "document", name, self.suite)
        key = derive_file_key(builders.RECORDING_KEY, header)
        Vault(folder / "vault").write_document(builders.RECORDING, name, header, key, text)

    @staticmethod
    def _read(vault: Vault, name: str) -> bytes | None:
        try:
            header = vault.header_of(builders.RECORDING, "document", name)
        except NotFound:
            return None
        return vault.read_document(builders.RECORDING, name, derive_file_key(builders.RECORDING_KEY, header))
