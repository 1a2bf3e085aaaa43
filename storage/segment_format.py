"""The sealed file, version 1, as bytes: header, segments, lengths. No input or output happens here.

A sealed file is `header ‖ segment 0 ‖ … ‖ segment last`. docs/vault_format.md is the specification.
"""

from __future__ import annotations

import re
import secrets
import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from cryptography.exceptions import InvalidTag

from storage.errors import IntegrityError
from storage.suites import SUITE_1, TAG_BYTES, Aead, from_newer, suite_of

MAGIC = b"FPS1"
VERSION = 1
SEGMENT_BYTES = 65536
SALT_BYTES = 32
KEY_BYTES = 32
MAX_HEADER_BYTES = 256
KINDS = frozenset({"track", "document"})
# Magic, version and suite; six lengths; vault id, owner, salt, segment size. Kind and name come on top.
_BARE_HEADER_BYTES = 6 + 6 * 2 + 16 + 16 + SALT_BYTES + 4
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class SealedHeader:
    """The clear start of a sealed file: whose it is, what it is, the salt of its own key, and its suite."""

    vault_id: uuid.UUID
    owner: uuid.UUID
    kind: str
    name: str
    salt: bytes
    segment_bytes: int = SEGMENT_BYTES
    suite: int = SUITE_1.number

    def __post_init__(self) -> None:
        suite_of(self.suite)
        if self.kind not in KINDS or not is_name(self.name) or len(self.salt) != SALT_BYTES:
            raise IntegrityError("header", "kind, name or salt is not allowed")
        # Powers of two keep offsets exact; files are written with 65536, tests use less.
        if not 64 <= self.segment_bytes <= SEGMENT_BYTES or self.segment_bytes & (self.segment_bytes - 1):
            raise IntegrityError("header", "segment size is not allowed")

    @cached_property
    def raw(self) -> bytes:
        """The header's bytes."""
        fields = (
            self.vault_id.bytes,
            self.owner.bytes,
            self.kind.encode(),
            self.name.encode(),
            self.salt,
            struct.pack(">I", self.segment_bytes),
        )
        return MAGIC + bytes((VERSION, self.suite)) + b"".join(map(length_prefixed, fields))

    @cached_property
    def digest(self) -> bytes:
        """The suite's hash of the header, 32 bytes: the associated data of every segment."""
        return suite_of(self.suite).digest(self.raw)

    @cached_property
    def key_info(self) -> bytes:
        """The HKDF info of the file key."""
        fields = (self.owner.bytes, self.kind.encode(), self.name.encode())
        start = b"fupan file key v1" + bytes((VERSION, self.suite))
        return start + b"".join(map(length_prefixed, fields))


def is_name(name: str) -> bool:
    """Whether a track or document may be called so; every such name is safe as a file name."""
    return _NAME.fullmatch(name) is not None


def length_prefixed(field: bytes) -> bytes:
    """uint16 length, big-endian, then the field."""
    return struct.pack(">H", len(field)) + field


def new_header(
    vault_id: uuid.UUID, owner: uuid.UUID, kind: str, name: str, suite: int = SUITE_1.number
) -> SealedHeader:
    """A header for one write of one file, with a fresh salt and so a file key of its own."""
    return SealedHeader(vault_id, owner, kind, name, secrets.token_bytes(SALT_BYTES), suite=suite)


def parse_header(data: bytes) -> SealedHeader:
    """Read the header at the start of `data` (at least MAX_HEADER_BYTES of the file, or all of it)."""
    if len(data) < 6 or data[:4] != MAGIC:
        raise IntegrityError("header", "not a sealed file")
    if data[4] != VERSION:
        raise from_newer(f"version {data[4]} of sealed files")
    suite = suite_of(data[5]).number
    fields = _fields(data[:MAX_HEADER_BYTES], offset=6)
    try:
        vault_id, owner, kind, name, salt, segment = (next(fields) for _ in range(6))
        header = SealedHeader(
            uuid.UUID(bytes=vault_id),
            uuid.UUID(bytes=owner),
            kind.decode("ascii"),
            name.decode("ascii"),
            salt,
            struct.unpack(">I", segment)[0],
            suite,
        )
    except (ValueError, struct.error, RuntimeError) as error:
        raise IntegrityError("header", str(error)) from None
    return header


def _fields(data: bytes, offset: int) -> Iterator[bytes]:
    while True:
        (length,) = struct.unpack_from(">H", data, offset)
        field = data[offset + 2 : offset + 2 + length]
        if len(field) != length:
            raise ValueError("a field is cut short")
        yield field
        offset += 2 + length


@dataclass(frozen=True)
class Layout:
    """Where the segments of one file lie. Offsets and sizes in bytes; `size` counts plaintext."""

    header_bytes: int
    segment_bytes: int
    count: int
    size: int

    def span(self, first: int, past: int) -> tuple[int, int]:
        """File offset and length of the ciphertext of segments first … past - 1."""
        step = self.segment_bytes + TAG_BYTES
        start = self.header_bytes + first * step
        end = self.header_bytes + past * step
        if past == self.count:
            end = self.header_bytes + self.size + self.count * TAG_BYTES
        return start, end - start


def layout_of(header: SealedHeader, file_bytes: int) -> Layout:
    """Where everything is in a file of this length; believe it only once the last segment has opened."""
    start, step = len(header.raw), header.segment_bytes + TAG_BYTES
    count, rest = divmod(file_bytes - start, step)
    if rest:
        count += 1
    last = (rest or step) - TAG_BYTES
    # Only an empty file has an empty segment, so each plaintext has exactly one length on disk.
    if file_bytes <= start or last < 0 or (last == 0 and count > 1):
        raise IntegrityError("size", f"{file_bytes} bytes is no length of a sealed file")
    return Layout(start, header.segment_bytes, count, (count - 1) * header.segment_bytes + last)


def header_bytes(kind: str, name: str) -> int:
    """How long the header of a file of this kind and name is."""
    return _BARE_HEADER_BYTES + len(kind) + len(name)


class SegmentCipher:
    """Encrypts and opens the segments of one file. The only place where segments meet a key."""

    def __init__(self, file_key: bytes, header: SealedHeader) -> None:
        self._aead = Aead(suite_of(header.suite), file_key)
        self._bound_to = header.digest

    def encrypt(self, index: int, last: bool, plaintext: bytes | memoryview) -> bytes:
        """Ciphertext and tag of segment `index`. Call it once for each index."""
        return self._aead.encrypt(segment_nonce(index, last), plaintext, self._bound_to)

    def decrypt(self, index: int, last: bool, ciphertext: bytes | memoryview) -> bytes:
        """The plaintext of segment `index`, or IntegrityError and nothing of it."""
        try:
            return self._aead.decrypt(segment_nonce(index, last), ciphertext, self._bound_to)
        except InvalidTag:
            kind = "last_segment" if last else "segment"
            raise IntegrityError(kind, f"segment {index}", index) from None


def segment_nonce(index: int, last: bool) -> bytes:
    """Three zero bytes, the index as uint64, the last flag: 12 bytes."""
    return struct.pack(">3xQ?", index, last)
