"""Sealed files, epochs and journals made small for the tests of storage."""

from __future__ import annotations

import os
import secrets
import uuid
from dataclasses import dataclass
from pathlib import Path

from storage import disk
from storage.keys import derive_file_key, new_day_key
from storage.opening import (
    END,
    Clock,
    EpochWriter,
    Opening,
    build_opening,
    encrypt_chunk,
    new_browser_key,
    wire_digest,
)
from storage.sealed import SealedReader, SealedWriter
from storage.segment_format import SealedHeader
from storage.vault import Journal

VAULT = uuid.UUID("11111111-1111-4111-8111-111111111111")
RECORDING = uuid.UUID("22222222-2222-4222-8222-222222222222")
RECORDING_KEY = bytes(range(32))
DAY_PRIVATE, DAY_PUBLIC = new_day_key()


def header(segment_bytes: int = 64, **changes: object) -> SealedHeader:
    """A header with small segments, for one write: its salt is fresh."""
    fields: dict[str, object] = {
        "vault_id": VAULT,
        "owner": RECORDING,
        "kind": "track",
        "name": "camera",
        "salt": secrets.token_bytes(32),
        "segment_bytes": segment_bytes,
    }
    return SealedHeader(**(fields | changes))


def seal(path: Path, plaintext: bytes, head: SealedHeader, key: bytes = RECORDING_KEY) -> bytes:
    """Write a sealed file at `path`; its bytes."""
    disk.ensure_folder(path.parent)
    with (
        path.open("wb+") as file,
        SealedWriter(file.fileno(), head, derive_file_key(key, head), 128) as writer,
    ):
        writer.write(plaintext)
    return path.read_bytes()


def open_whole(path: Path, key: bytes = RECORDING_KEY, expect: SealedHeader | None = None) -> bytes:
    """The whole plaintext of a sealed file, by the key that its own header leads to."""
    from storage.segment_format import parse_header

    file_key = derive_file_key(key, parse_header(path.read_bytes()))
    with SealedReader(path, file_key, expect) as reader:
        return reader.read_range(0, reader.size)


def opening(track: str = "camera", **changes: object) -> tuple[Opening, bytes]:
    """A signed opening for the day key of these tests, and its epoch key."""
    fields: dict[str, object] = {
        "vault_id": VAULT,
        "recording_id": RECORDING,
        "track": track,
        "day_key_id": "2026-11-22",
        "recipients": {"2026-11-22": DAY_PUBLIC},
        "browser_key": new_browser_key(),
        "mime": "video/webm;codecs=vp8,opus",
        "clock": Clock(bytes(16), 1234.5, 1.7e12),
    }
    return build_opening(**(fields | changes))


@dataclass
class Body:
    """One PUT: number, flag, opening, ciphertext, digest."""

    n: int
    flag: int
    opening: bytes
    ciphertext: bytes
    digest: bytes


def body_of(made: Opening, n: int, flag: int, body: bytes) -> Body:
    """The parts of a wire body."""
    return Body(n, flag, body[: made.end], body[made.end :], wire_digest(body))


@dataclass
class Epoch:
    """An epoch as a browser made it: wire bodies of each chunk, and the end record last."""

    opening: Opening
    key: bytes
    plaintexts: list[bytes]
    bodies: list[Body]


def epoch(plaintexts: list[bytes], *, end: bytes | None = None, **changes: object) -> Epoch:
    """An epoch of these chunks; `end` instead of what a browser states in its end record."""
    made, key = opening(**changes)
    writer = EpochWriter(made, key)
    bodies = [body_of(made, n, 0, body) for n, body in map(writer.chunk, plaintexts)]
    if end is None:
        n, body = writer.finish(9999.5, 1.7e12 + 8765)
    else:
        n = len(plaintexts)
        body = made.raw + encrypt_chunk(key, made, n, END, end)
    return Epoch(made, key, plaintexts, [*bodies, body_of(made, n, 1, body)])


def put(journal: Journal, made: Epoch, body: Body) -> str:
    """Append one body as intake does."""
    return journal.append(made.opening.epoch, body.n, body.flag, body.opening, body.ciphertext, body.digest)


def put_strange(path: Path, what: str) -> None:
    """Put a pipe, a folder, or a link to `what` where a plain file should be."""
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to(what)


def journal_of(path: Path, *epochs: Epoch, without: tuple[int, ...] = ()) -> Journal:
    """A journal with these epochs, but for the chunks `without`."""
    journal = Journal(path)
    for made in epochs:
        for body in made.bodies:
            if body.n not in without or body.flag:
                put(journal, made, body)
    return journal
