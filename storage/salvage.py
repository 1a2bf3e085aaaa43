"""What is still whole of a damaged sealed file: what proves genuine, and zeros for the rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from storage.errors import IntegrityError
from storage.head_format import TrackHead
from storage.objects import FileSource, Source
from storage.sealed import read_header
from storage.seeking import SeekingReader
from storage.segment_format import Layout, SegmentCipher, layout_of
from storage.spans import Span, spans_of
from storage.suites import TAG_BYTES

# Segments read by one system call: 1 MiB of plaintext.
_BATCH = 16


class SalvageReader(SeekingReader):
    """The plaintext of a sealed file, however damaged: each byte that it gives is proven genuine, or is zero.

    Every segment is proven once at the start; one that fails is read again from the disk itself before it
    counts. `damaged`, `holes` and `size` are true from then on, and a segment that fails only later raises
    IntegrityError. Without a head, the file is as long as its segments prove.
    """

    def __init__(self, file: int | Path | Source, key: bytes, head: TrackHead | None = None) -> None:
        """`file`: a descriptor, which stays the caller's, a path, or a source, which is the reader's now.

        `key`: the file key by its true header. `head`: the track's, if there is one. Raises IntegrityError
        when there is none and the file's own header is damaged, or no segment can be in it.
        """
        super().__init__()
        if isinstance(file, int):
            file = FileSource(file, owned=False)
        self._source = FileSource.at(file) if isinstance(file, Path) else file
        self._recent: tuple[int, bytes] = (-1, b"")
        self.damaged: list[int] = []
        """Numbers of the segments that do not prove genuine, in order."""
        try:
            self.header = head.header if head is not None else read_header(self._source)
            self._first = head.first if head is not None else b""
            self._cipher = SegmentCipher(key, self.header)
            self._layout = self._stated(head.size) if head is not None else self._likely()
            self._flagged = self._layout.count - 1  # which segment carries the last flag; -1 for none
            self._prove_all(sure=head is not None)
        except BaseException:
            self.close()
            raise
        self._lost = frozenset(self.damaged)
        self.size = self._layout.size

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong with the file: neither with its segments nor with its header or length."""
        end = sum(self._layout.span(self._layout.count - 1, self._layout.count))
        fits = (self._source.size, self._flagged) == (end, self._layout.count - 1)
        return not self.damaged and fits and self._header_is(fresh=False)

    def _header_is(self, *, fresh: bool) -> bool:
        raw = self.header.raw
        if fresh:
            self._source.forget(len(raw), 0)
        return self._source.read_at(len(raw), 0) == raw or (not fresh and self._header_is(fresh=True))

    @property
    def holes(self) -> list[Span]:
        """Where the plaintext reads as zeros: bytes [start, end), in order."""
        return spans_of(self.damaged, self.header.segment_bytes, self.size, len(self._first))

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes, zeros where they are lost; b"" at the end. Raises IntegrityError (see above)."""
        left = max(0, self.size - self._position)
        wanted = left if size is None or size < 0 else min(size, left)
        pieces = []
        while wanted > 0:
            index, at = divmod(self._position, self.header.segment_bytes)
            if self._recent[0] != index:
                self._recent = (index, self._plaintext(index))
            piece = self._recent[1][at : at + wanted]
            pieces.append(piece)
            self._position += len(piece)
            wanted -= len(piece)
        return b"".join(pieces)

    def _plaintext(self, index: int) -> bytes:
        if index in self._lost:
            start = index * self.header.segment_bytes
            length = min(self.header.segment_bytes, self.size - start)
            return self._first[start : start + length].ljust(length, b"\0")
        for fresh in (False, True):
            plaintext = self._opened(index, index == self._flagged, self._ciphertext(index, fresh=fresh))
            if plaintext is not None:
                return plaintext
        raise IntegrityError("segment", f"segment {index} was whole and is damaged now", index)

    def close(self) -> None:
        """Let go of the file."""
        if not self.closed:
            self._source.close()
        super().close()

    def _stated(self, size: int) -> Layout:
        step = self.header.segment_bytes
        return Layout(len(self.header.raw), step, max(1, -(-size // step)), size)

    def _likely(self) -> Layout:
        """As the file's length suggests; a rest that is too short for a segment is left out."""
        length, start = self._source.size, len(self.header.raw)
        rest = (length - start) % (self.header.segment_bytes + TAG_BYTES)
        if rest <= TAG_BYTES and length - rest > start:
            length -= rest
        return layout_of(self.header, length)

    def _prove_all(self, *, sure: bool) -> None:
        for index, data in enumerate(self._ciphertexts()):
            if not self._proves(index, data, sure) and not self._proves(
                index, self._ciphertext(index, fresh=True), sure
            ):
                self.damaged.append(index)
            if index == self._layout.count - 1:  # a genuine last segment may come before the file's end
                return

    def _proves(self, index: int, data: bytes | memoryview, sure: bool) -> bool:
        last = index == self._layout.count - 1
        if self._opened(index, last, data) is not None:
            return True
        plaintext = None if sure else self._opened(index, not last, data)
        if plaintext is None:
            return False
        if last:  # the file was cut behind this segment
            self._flagged = -1
        else:  # something was added behind this segment
            self._flagged = index
            self._layout = self._stated(index * self.header.segment_bytes + len(plaintext))
        return True

    def _opened(self, index: int, last: bool, data: bytes | memoryview) -> bytes | None:
        try:
            return self._cipher.decrypt(index, last, data)
        except IntegrityError:
            return None

    def _ciphertexts(self) -> Iterator[bytes | memoryview]:
        """Each segment's ciphertext in order, as far as the disk gives it."""
        layout = self._layout
        for first in range(0, layout.count, _BATCH):
            past = min(first + _BATCH, layout.count)
            offset, length = layout.span(first, past)
            try:
                data = memoryview(self._source.read_at(length, offset))
            except OSError:  # one block that cannot be read must not cost its neighbours
                yield from (self._ciphertext(index) for index in range(first, past))
                continue
            for index in range(first, past):
                at, size = layout.span(index, index + 1)
                yield data[at - offset : at - offset + size]

    def _ciphertext(self, index: int, *, fresh: bool = False) -> bytes:
        offset, length = self._layout.span(index, index + 1)
        if fresh:
            self._source.forget(length, offset)
        try:
            return self._source.read_at(length, offset)
        except OSError:
            return b""
