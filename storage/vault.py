"""The face of storage for the appliance: journals and openings at intake, sealed files and keys inside.

What is imported here is the whole of what the appliance may use; docs/vault_format.md has the bytes.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from storage import disk
from storage.check import Finding, check, check_journal, check_keys, check_ledger
from storage.errors import (
    BadOpening,
    Destroyed,
    IntegrityError,
    JournalConflict,
    LedgerError,
    NotFound,
    SegmentEmitted,
    SelfTestFailed,
    ShareError,
    VaultError,
    VaultFull,
)
from storage.generations import (
    Generation,
    Proven,
    Restored,
    generations,
    prove_generation,
    prune_generations,
    restore_generation,
    write_generation,
)
from storage.journal import ChunkState, EpochState, Journal
from storage.keys import (
    Key,
    KeyRecord,
    canonical_json,
    derive_file_key,
    new_day_key,
    new_key,
    parse_record,
    rewrap,
    unwrap,
    wrap,
)
from storage.keystore import KeyStore
from storage.layout import SUFFIX, file_path, recording_folder
from storage.ledger import LEDGER_NAME, Ledger, ledger_exists, newest_chain
from storage.ledger_format import (
    DAY_KEY,
    EMPTY,
    ERASE,
    KEY_ID,
    MAX_RECORDINGS,
    Chain,
    Entry,
    Head,
    Known,
    erase_body,
)
from storage.opening import (
    DATA,
    END,
    EVENTS_MIME,
    MAX_OPENING_BYTES,
    Clock,
    EpochWriter,
    Opening,
    Recipient,
    build_opening,
    encrypt_chunk,
    new_browser_key,
    open_epoch_key,
    parse_opening,
    sign_by_browser,
    verify_by_browser,
    verify_opening,
    wire_digest,
)
from storage.sealed import SealedReader, SealedWriter, read_header
from storage.segment_format import KINDS, SealedHeader, layout_of, new_header, parse_header
from storage.selftest import run as self_test
from storage.shares import Collector, Share, ShareSet, require_policy
from storage.shares import parse as parse_share
from storage.shares import split as split_key
from storage.slots import (
    Description,
    Pending,
    Rekey,
    Reshare,
    Rotate,
    Slot,
    TokenKey,
    new_slot,
    new_slot_id,
    parse_description,
    vault_check,
)
from storage.suites import SUITES

__all__ = [
    "DATA",
    "DAY_KEY",
    "EMPTY",
    "END",
    "ERASE",
    "EVENTS_MIME",
    "KEY_ID",
    "LEDGER_NAME",
    "MAX_OPENING_BYTES",
    "MAX_RECORDINGS",
    "SUITES",
    "BadOpening",
    "Chain",
    "ChunkState",
    "Clock",
    "Collector",
    "Description",
    "Destroyed",
    "Draft",
    "Entry",
    "EpochState",
    "EpochWriter",
    "Finding",
    "Generation",
    "Head",
    "IntegrityError",
    "Journal",
    "JournalConflict",
    "Key",
    "KeyRecord",
    "KeyStore",
    "Known",
    "Ledger",
    "LedgerError",
    "NotFound",
    "Opening",
    "Pending",
    "Proven",
    "Recipient",
    "Rekey",
    "Reshare",
    "Restored",
    "Rotate",
    "SealedFile",
    "SealedHeader",
    "SealedReader",
    "SealedWriter",
    "SegmentEmitted",
    "SelfTestFailed",
    "Share",
    "ShareError",
    "ShareSet",
    "Slot",
    "TokenKey",
    "Vault",
    "VaultError",
    "VaultFull",
    "build_opening",
    "canonical_json",
    "check",
    "check_journal",
    "check_keys",
    "check_ledger",
    "derive_file_key",
    "encrypt_chunk",
    "erase_body",
    "generations",
    "ledger_exists",
    "new_browser_key",
    "new_day_key",
    "new_header",
    "new_key",
    "new_slot",
    "new_slot_id",
    "newest_chain",
    "open_epoch_key",
    "parse_description",
    "parse_header",
    "parse_opening",
    "parse_record",
    "parse_share",
    "prove_generation",
    "prune_generations",
    "require_policy",
    "restore_generation",
    "rewrap",
    "self_test",
    "sign_by_browser",
    "split_key",
    "unwrap",
    "vault_check",
    "verify_by_browser",
    "verify_opening",
    "wire_digest",
    "wrap",
    "write_generation",
]


class SealedFile(NamedTuple):
    """One sealed file of a recording; `bytes` counts what is on disk."""

    kind: str
    name: str
    bytes: int


class Draft:
    """A sealed file being written, under a temporary name until `commit`.

    Give `fd` to the child that writes it, or use `writer` here. `path` is the name it will have.
    """

    def __init__(self, path: Path, recording_id: uuid.UUID, kind: str, name: str) -> None:
        self.recording_id, self.kind, self.name, self.path = recording_id, kind, name, path
        self._temporary = disk.Temporary(path)

    @property
    def fd(self) -> int:
        """The descriptor to write to; close-on-exec, owned by the draft."""
        return self._temporary.fd

    def writer(self, header: SealedHeader | bytes, key: bytes, head_budget: int = 1 << 20) -> SealedWriter:
        """A writer into this draft; close it before `commit`."""
        return SealedWriter(self.fd, header, key, head_budget)

    def commit(self) -> None:
        """Make it last under its own name; until then it does not exist. The rename is the commit.

        A file that is no whole sealed file of this name is discarded and raises IntegrityError.
        """
        try:
            header = read_header(self.fd)
            _require_place(header, self.recording_id, self.kind, self.name)
            layout_of(header, os.fstat(self.fd).st_size)
        except BaseException:
            self.discard()
            raise
        self._temporary.commit()

    def discard(self) -> None:
        """Forget it. Safe to call again, and after `commit`."""
        self._temporary.discard()

    def __enter__(self) -> Draft:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


class Vault:
    """The sealed files, under `root`: `<first two hex>/<recording id>/<kind>/<name>.fps`."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def path(self, recording_id: uuid.UUID, kind: str, name: str) -> Path:
        """Where this file is or would be. Raises IntegrityError("header") for a name that is not allowed."""
        return file_path(self.root, recording_id, kind, name)

    def begin(self, recording_id: uuid.UUID, kind: str, name: str) -> Draft:
        """Start a file. What a crashed writer left in its folder is removed first."""
        return Draft(self.path(recording_id, kind, name), recording_id, kind, name)

    def tidy(self, recording_id: uuid.UUID) -> None:
        """Remove what crashed writers left of this recording; what a living one writes stays."""
        for kind in KINDS:
            disk.leftovers(recording_folder(self.root, recording_id) / kind, remove=True)

    def recordings(self) -> Iterator[uuid.UUID]:
        """Every recording with a folder here, sorted; with `list`, enough to rebuild lost rows."""
        for folder in sorted(self.root.glob("??/*")):
            with contextlib.suppress(ValueError):
                yield uuid.UUID(folder.name)

    def list(self, recording_id: uuid.UUID) -> list[SealedFile]:
        """The sealed files of a recording, sorted by kind and name."""
        found = []
        for kind in sorted(KINDS):
            folder = recording_folder(self.root, recording_id) / kind
            for path in sorted(folder.glob(f"[!.]*{SUFFIX}")):
                found.append(SealedFile(kind, path.name.removesuffix(SUFFIX), path.stat().st_size))
        return found

    def header_of(self, recording_id: uuid.UUID, kind: str, name: str) -> SealedHeader:
        """The header, from which the keyholder derives the file key. Raises NotFound, IntegrityError."""
        with self._open(recording_id, kind, name) as fd:
            header = read_header(fd)
        _require_place(header, recording_id, kind, name)
        return header

    def open_sealed(
        self, recording_id: uuid.UUID, kind: str, name: str, key: bytes, expect: SealedHeader | None = None
    ) -> SealedReader:
        """A reader of this file, its length proven. `expect` refuses another copy under the same name."""
        try:
            reader = SealedReader(self.path(recording_id, kind, name), key, expect)
        except FileNotFoundError:
            raise NotFound("file", f"{kind} {name}") from None
        try:
            _require_place(reader.header, recording_id, kind, name)
        except BaseException:
            reader.close()
            raise
        return reader

    def open_fd(self, recording_id: uuid.UUID, kind: str, name: str) -> int:
        """A descriptor to hand to a child; the caller closes it. Raises NotFound."""
        try:
            return os.open(self.path(recording_id, kind, name), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound("file", f"{kind} {name}") from None

    def read_document(self, recording_id: uuid.UUID, name: str, key: bytes) -> bytes:
        """The whole plaintext of a document."""
        with self.open_sealed(recording_id, "document", name, key) as reader:
            return reader.read_range(0, reader.size)

    def write_document(
        self, recording_id: uuid.UUID, name: str, header: SealedHeader | bytes, key: bytes, data: bytes
    ) -> None:
        """Seal a document so that it lasts. `header` and `key` serve this one write."""
        with self.begin(recording_id, "document", name) as draft:
            with draft.writer(header, key) as writer:
                writer.write(data)
            draft.commit()

    @contextlib.contextmanager
    def _open(self, recording_id: uuid.UUID, kind: str, name: str) -> Iterator[int]:
        fd = self.open_fd(recording_id, kind, name)
        try:
            yield fd
        finally:
            os.close(fd)


def _require_place(header: SealedHeader, recording_id: uuid.UUID, kind: str, name: str) -> None:
    if (header.owner, header.kind, header.name) != (recording_id, kind, name):
        raise IntegrityError("wrong_place", f"the file says it is {header.kind} {header.name}")
