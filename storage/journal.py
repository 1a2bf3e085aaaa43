"""The journal of one track: appended by intake, made to last before each answer, read when sealing.

The file is the truth; the index is rebuilt by reading record headers. A chunk counts as kept once `append`
has returned. Several processes and threads may use one journal: each call takes the file's lock.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from storage import disk
from storage.errors import IntegrityError, JournalConflict, NotFound, VaultFull
from storage.journal_format import (
    CHUNK,
    HEADER_BYTES,
    MAGIC,
    MAX_PAYLOAD_BYTES,
    OPENING,
    Record,
    parse_record,
)
from storage.opening import MAX_OPENING_BYTES

_SEARCH_BYTES = 1 << 20
# Records at the end whose payload is proven when a journal is first read. A writer leaves at most one record
# that a power cut can tear, so more than one takes several writers killed in a row, each before its fsync.
_PROVEN_AT_END = 8
# A journal is read into memory, whoever wrote it: this many records take 2 seconds and 100 MB. An hour of
# recording leaves some two thousand.
MAX_RECORDS = 1 << 17
# Behind damage: places that look like a record and are none. Ciphertext has one in four thousand million.
_MISLEADING = 4096


class ChunkState(NamedTuple):
    """What a journal holds of one chunk: wire digest, flag (1 = end record), ciphertext bytes."""

    digest: bytes
    flag: int
    length: int


@dataclass(frozen=True)
class EpochState:
    """What a journal holds of one epoch. `opening_sha256` is None when the opening is damaged."""

    chunks: dict[int, ChunkState]
    opening_sha256: bytes | None

    @property
    def end(self) -> int | None:
        """The count of data chunks that the end record states, or None while there is no end record."""
        return next((n for n, chunk in self.chunks.items() if chunk.flag), None)


@dataclass
class _Epoch:
    chunks: dict[int, tuple[Record, int]] = field(default_factory=dict)
    opening: tuple[Record, int] | None = None
    told: bytes = b""  # the opening that was last found to be this one
    copies: int = 0
    highest: int = -1
    end: int | None = None


@dataclass
class Index:
    """What reading a journal found: records by epoch, damaged spans, and where the good part ends (bytes).

    `torn`: something lies behind the good part, which is not to be believed at the next reading either.
    """

    epochs: dict[bytes, _Epoch] = field(default_factory=dict)
    damaged: list[tuple[int, int]] = field(default_factory=list)
    end: int = 0
    records: int = 0
    torn: bool = False

    def add(self, record: Record, offset: int) -> None:
        """Take in the record whose header is at `offset`. The first of two with one number stays."""
        epoch = self.epochs.get(record.epoch)
        if epoch is None:
            epoch = self.epochs[record.epoch] = _Epoch()
        if record.type == OPENING:
            epoch.opening = epoch.opening or (record, offset)
            epoch.copies += 1
        elif record.n not in epoch.chunks:
            epoch.chunks[record.n] = (record, offset)
            epoch.highest = max(epoch.highest, record.n)
            if record.flag and epoch.end is None:
                epoch.end = record.n
        self.records += 1
        self.end = max(self.end, offset + record.total_bytes)


def read_index(fd: int, index: Index | None = None) -> Index:
    """Read the records after `index.end` to the end of the file; a torn tail stays outside.

    Only headers are read, and the payloads of openings; on a first reading, or behind a torn tail, also those
    of the last records, which a power cut may have torn. `storage.check` reads everything. A file that was
    made to be read for ever ends where that shows: after MAX_RECORDS, or too much that only looks like one.
    """
    index = Index() if index is None else index
    suspicious, size = index.end == 0 or index.torn, os.fstat(fd).st_size
    offset, search = index.end, _Search(fd, size)
    found: list[tuple[Record, int]] = []
    damaged: list[tuple[int, int]] = []
    while offset < size and index.records + len(found) < MAX_RECORDS:
        record = record_at(fd, offset, size)
        if record is None or (record.type == OPENING and not _opening_proves(fd, record, offset)):
            following = search.next_record(offset + 1)
            if following is None:
                break
            damaged.append((offset, following))
            offset = following
            continue
        found.append((record, offset))
        offset += record.total_bytes
    chunks = []
    for record, at in found:
        if record.type == OPENING:
            index.add(record, at)
        else:
            chunks.append((record, at))
    unproven = len(chunks) - _PROVEN_AT_END if suspicious else len(chunks)
    for i, (record, at) in enumerate(chunks):
        if i < unproven or proves(fd, index, record, payload_of(fd, record, at)):
            index.add(record, at)
        else:
            damaged.append((at, at + record.total_bytes))
    index.damaged += sorted(span for span in damaged if span[0] < index.end)
    index.torn = index.end < size
    return index


def _opening_proves(fd: int, record: Record, offset: int) -> bool:
    return hashlib.sha256(payload_of(fd, record, offset)).digest() == record.digest


def record_at(fd: int, offset: int, size: int) -> Record | None:
    """The record at `offset`, if there is one and it lies whole within `size`."""
    record = parse_record(os.pread(fd, HEADER_BYTES, offset))
    return record if record is not None and offset + record.total_bytes <= size else None


def payload_of(fd: int, record: Record, offset: int) -> bytes:
    """The payload of the record whose header is at `offset`, unproven."""
    return os.pread(fd, record.length, offset + HEADER_BYTES)


def proves(fd: int, index: Index, record: Record, payload: bytes) -> bool:
    """Whether the payload of a chunk is the one that its digest names; False without the epoch's opening."""
    epoch = index.epochs.get(record.epoch)
    if epoch is None or epoch.opening is None:
        return False
    digest = hashlib.sha256(payload_of(fd, *epoch.opening))
    digest.update(payload)
    return digest.digest() == record.digest


class _Search:
    """Looks for the next record behind damage."""

    def __init__(self, fd: int, size: int) -> None:
        self._fd, self._size = fd, size
        self._misleading = _MISLEADING

    def next_record(self, offset: int) -> int | None:
        """Where it starts, or None: then what follows is a torn tail."""
        while (offset := self._next_data(offset)) < self._size:
            window = os.pread(self._fd, _SEARCH_BYTES, offset)
            at = window.find(MAGIC)
            while at >= 0:
                self._misleading -= 1
                if self._misleading < 0:
                    return None
                if record_at(self._fd, offset + at, self._size) is not None:
                    return offset + at
                at = window.find(MAGIC, at + 1)
            offset += max(1, len(window) - len(MAGIC) + 1)
        return None

    def _next_data(self, offset: int) -> int:
        """Past what was never written: the holes of a sparse file hold no record and are slow to read."""
        try:
            return os.lseek(self._fd, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return self._size


class Journal:
    """The chunks of one track as they arrived."""

    def __init__(self, path: Path | str, max_bytes: int = 1 << 63) -> None:
        """`max_bytes` bounds the file's length, and a longer one is not read; the first `append` makes it."""
        self.path = Path(path)
        self.max_bytes = max_bytes
        self._mutex = threading.Lock()
        self._index = Index()
        self._inode = -1
        self._lasting = 0

    def append(
        self, epoch: bytes, n: int, flag: int, opening: bytes, ciphertext: bytes | memoryview, digest: bytes
    ) -> Literal["created", "same"]:
        """Keep one chunk; when this returns it survives a power cut.

        `digest` is the wire digest, which the caller has compared with opening ‖ ciphertext. "same": it was
        kept before. Raises JournalConflict, VaultFull, OSError; after an error nothing of the chunk is kept.
        """
        if not (0 <= n < 1 << 32 and flag in (0, 1) and len(epoch) == 16 and len(digest) == 32):
            raise ValueError("not a chunk of an epoch")
        if not 0 < len(ciphertext) <= MAX_PAYLOAD_BYTES or not 0 < len(opening) <= MAX_OPENING_BYTES:
            raise ValueError("no payload, or too long")
        with self._mutex, disk.locked_file(self.path, create=True, exclusive=True) as fd:
            size = self._refresh(fd)
            known = self._index.epochs.get(epoch) or _Epoch()
            self._require_same_opening(known, opening)
            if n in known.chunks:
                self._require_same(fd, known.chunks[n], flag, digest)
                return "same"
            self._require_within_end(known, n, flag)
            # Twice, so that no single damage in the file costs an epoch.
            records = [_opening_record(epoch, opening)] if known.copies < 2 else []
            records.append((Record(CHUNK, flag, n, len(ciphertext), epoch, digest), ciphertext))
            self._write(fd, size, records)
            return "created"

    def state(self) -> dict[str, EpochState]:
        """What is kept, by epoch id in hex. It is an answer too: what it names survives a power cut."""
        with self._mutex:
            try:
                with disk.locked_file(self.path, create=False, exclusive=False) as fd:
                    self._refresh(fd)
                    self._make_last(fd, self._index.end)
            except FileNotFoundError:
                self._forget()  # it was removed: what this process remembers of it is kept nowhere
            return {
                epoch.hex(): EpochState(
                    {n: ChunkState(r.digest, r.flag, r.length) for n, (r, _) in found.chunks.items()},
                    found.opening[0].digest if found.opening else None,
                )
                for epoch, found in self._index.epochs.items()
            }

    def opening(self, epoch: bytes) -> bytes:
        """The opening of an epoch. Raises NotFound, IntegrityError("record")."""
        with self._reading() as fd:
            found = self._index.epochs.get(epoch)
            if found is None or found.opening is None:
                raise NotFound("epoch", epoch.hex())
            payload = payload_of(fd, *found.opening)
            if hashlib.sha256(payload).digest() != found.opening[0].digest:
                raise IntegrityError("record", f"the opening of {epoch.hex()} is damaged")
            return payload

    def read(self, epoch: bytes, n: int) -> bytes:
        """The ciphertext of one chunk, proven by its digest. Raises NotFound, IntegrityError("record")."""
        with self._reading() as fd:
            found = self._index.epochs.get(epoch, _Epoch()).chunks.get(n)
            if found is None:
                raise NotFound("chunk", f"{epoch.hex()} {n}")
            record, offset = found
            payload = payload_of(fd, record, offset)
            if not proves(fd, self._index, record, payload):
                raise IntegrityError("record", f"chunk {n} of {epoch.hex()} is damaged")
            return payload

    @contextlib.contextmanager
    def _reading(self) -> Iterator[int]:
        try:
            with self._mutex, disk.locked_file(self.path, create=False, exclusive=False) as fd:
                self._refresh(fd)
                yield fd
        except FileNotFoundError:
            raise NotFound("journal", self.path.name) from None

    def _refresh(self, fd: int) -> int:
        """Take in what other processes appended, and return the file's length. The lock is held."""
        status = os.fstat(fd)
        if status.st_size > self.max_bytes:
            raise IntegrityError("record", f"{self.path.name} is longer than {self.max_bytes} bytes")
        if status.st_ino != self._inode or status.st_size < self._index.end:
            self._forget(status.st_ino)
        if status.st_size > self._index.end:
            read_index(fd, self._index)
        return status.st_size

    def _forget(self, inode: int = -1) -> None:
        """Know nothing of the file, which is another one now, or none."""
        self._index, self._inode, self._lasting = Index(), inode, 0

    @staticmethod
    def _require_same_opening(known: _Epoch, opening: bytes) -> None:
        if known.opening is None or opening == known.told:
            return
        if known.opening[0].digest != hashlib.sha256(opening).digest():
            raise JournalConflict("opening", "another opening for this epoch is kept")
        known.told = opening

    def _require_same(self, fd: int, kept: tuple[Record, int], flag: int, digest: bytes) -> None:
        record, offset = kept
        if (record.flag, record.digest) != (flag, digest):
            raise JournalConflict("chunk", f"chunk {record.n} is kept with other content")
        self._make_last(fd, offset + record.total_bytes)

    @staticmethod
    def _require_within_end(known: _Epoch, n: int, flag: int) -> None:
        if known.end is not None and (flag or n > known.end):
            raise JournalConflict("end", f"the epoch ended after {known.end} chunks")
        if flag and known.highest > n:
            raise JournalConflict("end", f"chunks beyond {n} are kept")

    def _write(self, fd: int, size: int, records: list[tuple[Record, bytes | memoryview]]) -> None:
        """Put the records behind the good part of a file of `size` bytes. The lock is held."""
        start = self._index.end
        total = sum(record.total_bytes for record, _ in records)
        if start + total > self.max_bytes:
            raise VaultFull("limit", f"{self.max_bytes} bytes")
        if self._index.records + len(records) > MAX_RECORDS:
            raise VaultFull("limit", f"{MAX_RECORDS} records")
        pieces = [piece for record, payload in records for piece in (record.encode(), payload)]
        try:
            if size > start:
                os.ftruncate(fd, start)  # a torn tail, never acknowledged
            disk.write_at(fd, pieces, start)
            self._make_last(fd, start + total)
        except BaseException:
            # Unacknowledged bytes must not be taken for kept ones by whoever reads the journal next.
            with contextlib.suppress(OSError):
                os.ftruncate(fd, start)
            raise
        for record, _ in records:
            self._index.add(record, self._index.end)

    def _make_last(self, fd: int, end: int) -> None:
        """Make the file's first `end` bytes last, unless this process has seen to it before.

        What another process wrote it may not have made to last: it can be killed before its fsync.
        """
        if end <= self._lasting:
            return
        disk.sync_data(fd)
        if self._lasting == 0:
            disk.sync_folder(self.path.parent)  # the file's own name may be new
        self._lasting = end


def _opening_record(epoch: bytes, opening: bytes) -> tuple[Record, bytes | memoryview]:
    return Record(OPENING, 0, 0, len(opening), epoch, hashlib.sha256(opening).digest()), opening
