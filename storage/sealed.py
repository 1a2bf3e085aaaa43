"""Sealed files as streams: SealedReader opens ranges, SealedWriter takes what a muxer writes."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from storage import disk
from storage.errors import IntegrityError, SegmentEmitted
from storage.objects import FileSource, Source
from storage.seeking import Seeking, SeekingReader
from storage.segment_format import (
    MAX_HEADER_BYTES,
    SealedHeader,
    SegmentCipher,
    layout_of,
    parse_header,
)
from storage.suites import TAG_BYTES

# Segments read or written by one system call: 1 MiB of plaintext.
_BATCH = 16
_ZEROS = bytes(1 << 20)


def read_header(file: int | Source) -> SealedHeader:
    """The header of an open sealed file."""
    source = FileSource(file, owned=False) if isinstance(file, int) else file
    return parse_header(source.read_at(MAX_HEADER_BYTES, 0))


class SealedReader(SeekingReader):
    """The plaintext of one sealed file, opened segment by segment.

    The last segment is proven before `size` is believed. `read_range` and `iter_range` may be called from
    many threads at once; `seek` and `read` keep one position and belong to one.
    """

    def __init__(self, file: int | Path | Source, key: bytes, expect: SealedHeader | None = None) -> None:
        """`file`: a descriptor, which stays the caller's, a path, or a source, which is the reader's now.

        `key`: the file key, 32 bytes. `expect`: the header that the file must have; another raises
        IntegrityError("replaced").
        """
        super().__init__()
        if isinstance(file, int):
            file = FileSource(file, owned=False)
        self._source = FileSource.at(file) if isinstance(file, Path) else file
        self._recent: tuple[int, bytes] = (0, b"")
        try:
            self.header = read_header(self._source)
            if expect is not None and expect.raw != self.header.raw:
                raise IntegrityError("replaced", "this is another copy of the file")
            self._cipher = SegmentCipher(key, self.header)
            self._layout = layout_of(self.header, self._source.size)
            self._segments(self._layout.count - 1, self._layout.count)
            self.size = self._layout.size
        except BaseException:
            self.close()
            raise

    def read_range(self, start: int, end: int) -> bytes:
        """Plaintext bytes start … end - 1, cut to the file. Raises IntegrityError."""
        return b"".join(self.iter_range(start, end))

    def iter_range(self, start: int, end: int) -> Iterator[bytes]:
        """The same range in pieces of at most 1 MiB, so that memory stays bounded."""
        step = self._layout.segment_bytes
        start, end = max(0, start), min(end, self.size)
        while start < end:
            first = start // step
            past = min(first + _BATCH, (end - 1) // step + 1)
            piece = self._segments(first, past)
            stop = min(end, past * step)
            yield piece[start - first * step : stop - first * step]
            start = stop

    def close(self) -> None:
        """Let go of the file."""
        if not self.closed:
            self._source.close()
        super().close()

    def _segments(self, first: int, past: int) -> bytes:
        """Plaintext of segments first … past - 1. What fails is read again, from the medium itself."""
        try:
            return self._read_segments(first, past)
        except IntegrityError:
            offset, length = self._layout.span(first, past)
            self._source.forget(length, offset)
            return self._read_segments(first, past)

    def _read_segments(self, first: int, past: int) -> bytes:
        offset, length = self._layout.span(first, past)
        try:
            data = memoryview(self._source.read_at(length, offset))
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            raise IntegrityError("segment", "a block of the disk cannot be read", first) from error
        if len(data) != length:
            raise IntegrityError("size", "the file became shorter")
        step, last = self._layout.segment_bytes + TAG_BYTES, self._layout.count - 1
        return b"".join(
            self._cipher.decrypt(index, index == last, data[at : at + step])
            for index, at in zip(range(first, past), range(0, max(1, length), step), strict=True)
        )

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes; b"" at the end."""
        left = max(0, self.size - self._position)
        wanted = left if size is None or size < 0 else min(size, left)
        at, recent = self._recent
        if not at <= self._position <= self._position + wanted <= at + len(recent):
            # Demuxers read 32 KiB at a time: keep the whole segments around the wish, if they are few.
            step = self._layout.segment_bytes
            at = self._position // step * step
            end = min(self.size, -(-(self._position + wanted) // step) * step)
            recent = self.read_range(at, end)
            self._recent = (at, recent) if len(recent) <= 4 * step else (0, b"")
        piece = recent[self._position - at : self._position - at + wanted]
        self._position += len(piece)
        return piece


class SealedWriter(Seeking):
    """A file to write and seek in, for muxers, that comes out sealed.

    The first `head_budget` bytes stay in memory until `close`, since muxers patch them; what lies beyond is
    encrypted once, in order, soon after it is written. The file is valid only after `close`; leaving a `with`
    block by an exception, or dropping the object, leaves a file that no reader accepts.
    """

    def __init__(self, fd: int, header: SealedHeader | bytes, key: bytes, head_budget: int = 1 << 20) -> None:
        """`fd` stays the caller's, who also makes it last. `header` and `key` serve this one write."""
        super().__init__()
        self.header = parse_header(header) if isinstance(header, bytes) else header
        self._fd = fd
        self._cipher = SegmentCipher(key, self.header)
        self._step = self.header.segment_bytes
        self._head_end = -(-head_budget // self._step) * self._step
        self._head = bytearray()
        self._tail = bytearray()  # plaintext from _tail_start on
        self._tail_start = self._head_end
        self._failed = False
        self.size = 0

    def writable(self) -> bool:
        """True: this is a file to write."""
        return True

    @property
    def head(self) -> memoryview:
        """The first bytes, at most `head_budget` in whole segments, as they stand now."""
        return memoryview(self._head)

    def write(self, data: Any) -> int:  # Any: typeshed's ReadableBuffer is not importable at run time
        """Write at the position; a gap before it is filled with zeros.

        Raises SegmentEmitted, VaultFull, OSError. After an error the file is given up: nothing more can be
        written, and `close` leaves it invalid, since a segment is never encrypted a second time.
        """
        if self.closed or self._failed:
            raise ValueError("this writer is closed or has failed")
        view = memoryview(data).cast("B")
        try:
            if view:
                while self.size < self._position:
                    self._put(self.size, memoryview(_ZEROS)[: self._position - self.size])
                self._put(self._position, view)
        except BaseException:
            self._failed = True
            raise
        self._position += len(view)
        return len(view)

    def _put(self, at: int, view: memoryview) -> None:
        end = at + len(view)
        in_head = max(0, min(len(view), self._head_end - at))
        self._head[at : at + in_head] = view[:in_head]
        at += in_head
        if at < end:
            if at < self._tail_start:
                raise SegmentEmitted(
                    "segment", f"byte {at} is encrypted already: the head budget is too small"
                )
            self._tail[at - self._tail_start : end - self._tail_start] = view[in_head:]
            # The last segment carries a flag, so one byte at least stays until close.
            whole = (len(self._tail) - 1) // self._step
            if whole >= _BATCH:
                self._emit(self._tail, self._tail_start, whole, last=None)
                del self._tail[: whole * self._step]
                self._tail_start += whole * self._step
        self.size = max(self.size, end)

    def _emit(self, plaintext: bytearray, start: int, count: int, last: int | None) -> None:
        """Encrypt and write `count` segments of what lies at `start`; segment `last` gets the flag."""
        first = start // self._step
        with memoryview(plaintext) as view:
            for batch in range(0, count, _BATCH):
                ciphertext = [
                    self._cipher.encrypt(
                        first + i, first + i == last, view[i * self._step : (i + 1) * self._step]
                    )
                    for i in range(batch, min(batch + _BATCH, count))
                ]
                offset = len(self.header.raw) + (first + batch) * (self._step + TAG_BYTES)
                disk.write_at(self._fd, ciphertext, offset)

    def close(self) -> None:
        """Encrypt what is left, the last segment with its flag, and the head. Does not fsync."""
        if self.closed:
            return
        try:
            if not self._failed:
                self._finish()
        finally:
            super().close()

    def _finish(self) -> None:
        last = max(0, self.size - 1) // self._step
        if self._tail:
            self._emit(self._tail, self._tail_start, last + 1 - self._tail_start // self._step, last)
        if self._head or not self._tail:
            self._emit(self._head, 0, min(last + 1, max(1, self._head_end // self._step)), last)
        disk.write_at(self._fd, [self.header.raw], 0)

    def abandon(self) -> None:
        """Close without finishing: no reader will accept the file."""
        self._failed = True
        self.close()

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self._failed = True
        self.close()

    def __del__(self) -> None:
        self._failed = True
