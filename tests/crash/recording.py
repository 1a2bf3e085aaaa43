"""A recording from its first chunk to its sealed track: append, key record, seal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from storage.check import Finding, check, check_journal, check_keys
from storage.keys import derive_file_key, wrap
from storage.segment_format import SealedHeader
from storage.stream import EpochReader
from storage.vault import Journal, KeyStore, Vault, unwrap
from tests.crash.workload import Step, Workload
from tests.storage import builders

PARENT = bytes(range(32))


class Recording(Workload):
    """`size` chunks of one epoch, and its end record."""

    calls = frozenset({"openat", "mkdir", "pwritev2", "fsync", "fdatasync", "rename", "link"})

    def __init__(self, size: int, suite: int = 1) -> None:
        self.suite = suite
        self.made = builders.epoch([bytes([i]) * 500 for i in range(size)])
        self.record = wrap(
            PARENT,
            kind="recording",
            key_id=str(builders.RECORDING),
            parent="hr",
            key=builders.RECORDING_KEY,
            suite=suite,
        )

    def steps(self, folder: Path) -> Iterator[Step]:
        journal = Journal(self._journal(folder))
        for body in self.made.bodies:
            yield f"kept {body.n}", lambda body=body: builders.put(journal, self.made, body)
        keys = KeyStore(folder / "keys")
        yield "key", lambda: keys.put("recording", str(builders.RECORDING), self.record)
        yield "sealed", lambda: self._seal(folder)

    def _seal(self, folder: Path) -> None:
        """Each try has a header, and so a key, of its own."""
        header = builders.header(salt=os.urandom(32), suite=self.suite)
        key, made = derive_file_key(builders.RECORDING_KEY, header), self.made
        with (
            EpochReader(self._journal(folder), made.opening.epoch, made.key, made.opening) as reader,
            self._vault(folder).begin(builders.RECORDING, "track", "camera") as draft,
        ):
            with draft.writer(header, key, head_budget=128) as writer:
                while piece := reader.read(700):
                    writer.write(piece)
            draft.commit()

    def require(self, folder: Path, acknowledged: list[str], what: str) -> None:
        assert [finding for finding in self._findings(folder) if not finding.harmless] == [], what
        for body in self.made.bodies:
            if f"kept {body.n}" in acknowledged:
                assert self._kept(folder, body.n) == body.ciphertext, what
        if "key" in acknowledged:
            record = KeyStore(folder / "keys").get("recording", str(builders.RECORDING))
            assert unwrap(PARENT, record) == builders.RECORDING_KEY, what
        if "sealed" in acknowledged:
            self._require_sealed(folder, what)

    def require_done(self, folder: Path, what: str) -> None:
        for body in self.made.bodies:
            assert self._kept(folder, body.n) == body.ciphertext, what
        self._require_sealed(folder, what)
        assert self._findings(folder) == [], what

    def _findings(self, folder: Path) -> list[Finding]:
        def file_key(header: SealedHeader) -> bytes:
            return derive_file_key(builders.RECORDING_KEY, header)

        path = self._journal(folder)
        journal = check_journal(path, full=True) if path.exists() else []
        sealed = check(folder / "vault", full=True, file_key=file_key)
        return [*journal, *check_keys(folder / "keys"), *sealed]

    def _kept(self, folder: Path, n: int) -> bytes:
        return Journal(self._journal(folder)).read(self.made.opening.epoch, n)

    def _require_sealed(self, folder: Path, what: str) -> None:
        vault = self._vault(folder)
        header = vault.header_of(builders.RECORDING, "track", "camera")
        key = derive_file_key(builders.RECORDING_KEY, header)
        with vault.open_sealed(builders.RECORDING, "track", "camera", key) as reader:
            assert reader.read() == b"".join(self.made.plaintexts), what

    @staticmethod
    def _journal(folder: Path) -> Path:
        return folder / "intake" / "camera.journal"

    @staticmethod
    def _vault(folder: Path) -> Vault:
        return Vault(folder / "vault")
