"""A track's head as bytes: what lets the track be read when its own start is damaged. No input or output.

A sealed document of its own, named `<track>.head`. docs/vault_format.md is the specification.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from storage.errors import IntegrityError
from storage.segment_format import MAX_HEADER_BYTES, SealedHeader, length_prefixed, parse_header

SUFFIX = ".head"
_SIZE = struct.Struct(">Q")


@dataclass(frozen=True)
class TrackHead:
    """The header of a sealed track, the bytes of its plaintext altogether, and the first of them.

    `first` holds at least the container's own header and index, without which nothing of it can be played.
    """

    header: SealedHeader
    size: int
    first: bytes


def head_name(track: str) -> str:
    """What the head of the track with this name is called."""
    return f"{track}{SUFFIX}"


def head_start(header: SealedHeader, size: int) -> bytes:
    """The head's bytes up to the first ones of the plaintext, which follow to its end."""
    return length_prefixed(header.raw) + _SIZE.pack(size)


def parse_head(data: bytes) -> TrackHead:
    """Read a head. Raises IntegrityError("header")."""
    length = int.from_bytes(data[:2], "big")
    begin = 2 + length + _SIZE.size
    if not 0 < length <= MAX_HEADER_BYTES or len(data) < begin:
        raise IntegrityError("header", "not the head of a track")
    header = parse_header(data[2 : 2 + length])
    (size,) = _SIZE.unpack_from(data, 2 + length)
    first = data[begin:]
    if len(header.raw) != length or len(first) > size:
        raise IntegrityError("header", "not the head of a track")
    return TrackHead(header, size, first)
