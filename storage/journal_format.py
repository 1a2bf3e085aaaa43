"""The records of a journal as bytes. No input or output happens here.

A record is a header of 68 bytes and a payload: an opening (once for each epoch, before its first chunk) or
the ciphertext of a chunk. The CRC finds a torn header, the digest a torn payload.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from storage.opening import MAX_OPENING_BYTES

MAGIC = b"FPJ1"
OPENING, CHUNK = 1, 2
_CLEAR = struct.Struct(">4sBBHII16s32s")
HEADER_BYTES = _CLEAR.size + 4
MAX_PAYLOAD_BYTES = 64 * 1024**2


class Record(NamedTuple):
    """A record's header. `digest`: of an opening SHA-256, of a chunk that of its wire body."""

    type: int
    flag: int
    n: int
    length: int
    epoch: bytes
    digest: bytes

    def encode(self) -> bytes:
        """The header's 68 bytes."""
        clear = _CLEAR.pack(MAGIC, self.type, self.flag, 0, self.n, self.length, self.epoch, self.digest)
        return clear + struct.pack(">I", zlib.crc32(clear))

    @property
    def total_bytes(self) -> int:
        """Header and payload."""
        return HEADER_BYTES + self.length


def parse_record(data: bytes) -> Record | None:
    """The record header at the start of `data`, or None when that is not one."""
    if len(data) < HEADER_BYTES or data[:4] != MAGIC:
        return None
    clear = data[: _CLEAR.size]
    if struct.pack(">I", zlib.crc32(clear)) != data[_CLEAR.size : HEADER_BYTES]:
        return None
    _, kind, flag, reserved, n, length, epoch, digest = _CLEAR.unpack(clear)
    longest = MAX_OPENING_BYTES if kind == OPENING else MAX_PAYLOAD_BYTES
    if kind not in (OPENING, CHUNK) or flag > 1 or reserved or length > longest:
        return None
    return Record(kind, flag, n, length, epoch, digest)
