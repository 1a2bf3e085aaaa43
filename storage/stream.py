"""The face of storage for analysis: one recording's media, by descriptors and keys that arrive over a pipe.

EpochReader reads what a browser recorded, SealedWriter writes a sealed track, SealedReader reads one, and
SalvageReader what is whole of a damaged one.
"""

from __future__ import annotations

import bisect
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from storage.errors import (
    BadOpening,
    IntegrityError,
    SegmentEmitted,
    VaultError,
    VaultFull,
)
from storage.head_format import TrackHead, head_name, head_start, parse_head
from storage.journal import payload_of, read_index
from storage.journal_format import Record
from storage.opening import DATA, END, EVENTS_MIME, ChunkOpener, Clock, Opening, parse_opening
from storage.readback import Digests, digests
from storage.salvage import SalvageReader
from storage.sealed import SealedReader, SealedWriter
from storage.seeking import SeekingReader
from storage.segment_format import SealedHeader, parse_header
from storage.spans import joined, runs, touched

__all__ = [
    "EVENTS_MIME",
    "BadOpening",
    "ChunkStart",
    "Clock",
    "Digests",
    "EndRecord",
    "EpochReader",
    "Gap",
    "IntegrityError",
    "Opening",
    "SalvageReader",
    "SealedHeader",
    "SealedReader",
    "SealedWriter",
    "SegmentEmitted",
    "TrackHead",
    "VaultError",
    "VaultFull",
    "digests",
    "head_name",
    "head_start",
    "joined",
    "parse_head",
    "parse_header",
    "parse_opening",
    "runs",
    "touched",
]


class Gap(NamedTuple):
    """Chunks first … last (both included) that are not in the plaintext. reason: `missing`, `unopenable`."""

    first: int
    last: int
    reason: str


class ChunkStart(NamedTuple):
    """Where chunk `n` begins in the plaintext, in bytes."""

    n: int
    offset: int


class EndRecord(NamedTuple):
    """What the browser stated when the recorder stopped: chunks, performance.now() and wall time in ms."""

    chunks: int
    clock_ms: float
    wall_ms: float


class _Piece(NamedTuple):
    record: Record
    offset: int


class EpochReader(SeekingReader):
    """The plaintext of one epoch, chunk after chunk, as a seekable file. One chunk is in memory at a time.

    Every chunk is opened once at the start, so that `gaps`, `chunks` and `size` are true from then on. A
    chunk that is missing or does not open is left out and named in `gaps`.
    """

    def __init__(self, journal: int | Path, epoch: bytes, key: bytes, opening: bytes | Opening) -> None:
        """`journal`: a descriptor, which stays the caller's (many readers may share it), or a path.

        `key`: the epoch key, 32 bytes. `opening`: as signed.
        """
        super().__init__()
        self.opening = parse_opening(opening) if isinstance(opening, bytes) else opening
        self._opener = ChunkOpener(key, self.opening.sha256)
        self._take_file(journal)
        self._pieces: list[_Piece] = []
        self._starts: list[int] = []
        self._recent: tuple[int, bytes] = (-1, b"")
        self.gaps: list[Gap] = []
        self.end_record: EndRecord | None = None
        self.size = 0
        try:
            self._open_all(epoch)
        except BaseException:
            self.close()
            raise

    @property
    def chunks(self) -> list[ChunkStart]:
        """The chunks that the plaintext is made of, in order."""
        return [ChunkStart(p.record.n, at) for p, at in zip(self._pieces, self._starts, strict=True)]

    def iter_chunks(self) -> Iterator[tuple[int, bytes]]:
        """Number and plaintext of each chunk that opens, in order (for events, one JSON list each)."""
        for i, piece in enumerate(self._pieces):
            yield piece.record.n, self._plaintext(i)

    def _open_all(self, epoch: bytes) -> None:
        found = read_index(self._fd).epochs.get(epoch)
        kept = sorted(found.chunks.items()) if found is not None else []
        expected = 0
        for n, (record, offset) in kept:
            if record.flag == END:
                self._missing(expected, n)
                expected = n
                self._read_end(record, offset)
                continue
            self._missing(expected, n)
            expected = n + 1
            try:
                plaintext = self._opener.decrypt(n, DATA, payload_of(self._fd, record, offset))
            except IntegrityError:
                self._gap(n, n, "unopenable")
                continue
            self._pieces.append(_Piece(record, offset))
            self._starts.append(self.size)
            self.size += len(plaintext)

    def _read_end(self, record: Record, offset: int) -> None:
        try:
            end = json.loads(self._opener.decrypt(record.n, END, payload_of(self._fd, record, offset)))
            stated = EndRecord(int(end["chunks"]), float(end["clock"]), float(end["wall"]))
        except (IntegrityError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return  # an end that cannot be read proves nothing; what was recorded is still there
        if stated.chunks == record.n and math.isfinite(stated.clock_ms) and math.isfinite(stated.wall_ms):
            self.end_record = stated

    def _missing(self, first: int, past: int) -> None:
        if first < past:
            self._gap(first, past - 1, "missing")

    def _gap(self, first: int, last: int, reason: str) -> None:
        if self.gaps and self.gaps[-1].reason == reason and self.gaps[-1].last == first - 1:
            first = self.gaps.pop().first
        self.gaps.append(Gap(first, last, reason))

    def _plaintext(self, i: int) -> bytes:
        if self._recent[0] != i:
            record, offset = self._pieces[i]
            self._recent = (-1, b"")  # so that two chunks are never in memory
            plaintext = self._opener.decrypt(record.n, DATA, payload_of(self._fd, record, offset))
            self._recent = (i, plaintext)
        return self._recent[1]

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes; b"" at the end."""
        wanted = self.size if size is None or size < 0 else size
        pieces = []
        while wanted > 0 and self._position < self.size:
            i = bisect.bisect_right(self._starts, self._position) - 1
            at = self._position - self._starts[i]
            piece = self._plaintext(i)[at : at + wanted]
            pieces.append(piece)
            self._position += len(piece)
            wanted -= len(piece)
        return b"".join(pieces)
