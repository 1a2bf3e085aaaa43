"""Reads back what was just written: that it opens, and by which digests it is known."""

from __future__ import annotations

import hashlib
import os
from typing import NamedTuple

from storage.sealed import SealedReader

_PIECE = 1 << 20


class Digests(NamedTuple):
    """SHA-256 in hex of a sealed file's plaintext and of its bytes on disk, and how many each of them has."""

    plaintext: str
    plaintext_bytes: int
    file: str
    file_bytes: int


def digests(fd: int, key: bytes) -> Digests:
    """Prove every segment of an open sealed file and digest it, piece by piece. Raises IntegrityError."""
    on_disk, opened, length = hashlib.sha256(), hashlib.sha256(), 0
    while piece := os.pread(fd, _PIECE, length):
        on_disk.update(piece)
        length += len(piece)
    with SealedReader(fd, key) as reader:
        for piece in reader.iter_range(0, reader.size):
            opened.update(piece)
        return Digests(opened.hexdigest(), reader.size, on_disk.hexdigest(), length)
