"""Promise: damage is always seen. A flipped bit raises IntegrityError and gives nothing of what it hit."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.errors import IntegrityError, NotFound
from storage.journal import Journal
from storage.keys import derive_file_key
from storage.sealed import SealedReader
from storage.segment_format import parse_header
from storage.stream import EpochReader
from tests.storage import builders

pytestmark = pytest.mark.promise
Record = Callable[[str, object], None]


def _flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_every_bit_of_a_sealed_file(tmp_path: Path, record_property: Record) -> None:
    plain, path = random.Random(1).randbytes(64 * 2 + 30), tmp_path / "f"
    data = builders.seal(path, plain, builders.header())
    good = parse_header(data)
    segments = [(at, at + 80) for at in range(len(good.raw), len(data), 80)]
    for bit in range(len(data) * 8):
        path.write_bytes(_flipped(data, bit))
        with pytest.raises(IntegrityError):
            builders.open_whole(path)
        # A reader with the right key, as in a running replay, gets the other segments and not this one.
        hit = next((i for i, (start, end) in enumerate(segments) if start <= bit // 8 < end), None)
        if hit is None or hit == len(segments) - 1:
            with pytest.raises(IntegrityError):
                SealedReader(path, derive_file_key(builders.RECORDING_KEY, good))
            continue
        with SealedReader(path, derive_file_key(builders.RECORDING_KEY, good)) as reader:
            with pytest.raises(IntegrityError):
                reader.read_range(hit * 64 + 63, hit * 64 + 65)
            with pytest.raises(IntegrityError):
                next(reader.iter_range(0, len(plain)))
            assert reader.read_range(128, 158) == plain[128:158]
    record_property("figure", f"{len(data) * 8} of {len(data) * 8} flipped bits of a sealed file seen")


@pytest.mark.parametrize("bits", [1, pytest.param(8, marks=pytest.mark.long)])
def test_every_bit_of_a_journal(tmp_path: Path, record_property: Record, bits: int) -> None:
    """One random bit of each byte every day, each bit in the long run."""
    chunks = [b"first answer", b"second answer", b"third"]
    made, path = builders.epoch(chunks), tmp_path / "camera.journal"
    builders.journal_of(path, made)
    data, rng = path.read_bytes(), random.Random(3)
    flips = [byte * 8 + bit for byte in range(len(data)) for bit in rng.sample(range(8), bits)]
    for bit in flips:
        path.write_bytes(_flipped(data, bit))
        with EpochReader(path, made.opening.epoch, made.key, made.opening) as reader:
            found = dict(reader.iter_chunks())
        assert all(chunks[n] == plaintext for n, plaintext in found.items()), bit
        assert len(found) >= 2, "one bit costs one chunk at most"
        journal = Journal(path)
        for body in made.bodies:
            with contextlib.suppress(IntegrityError, NotFound):
                assert journal.read(made.opening.epoch, body.n) == body.ciphertext
    record_property(
        "figure", f"{len(flips)} flipped bits of a journal: nothing altered returned, ≤ 1 chunk lost"
    )


@pytest.mark.long
def test_one_random_bit_in_each_of_a_thousand_segments(tmp_path: Path, record_property: Record) -> None:
    rng, path = random.Random(2), tmp_path / "f"
    head = builders.header(65536)
    data = builders.seal(path, rng.randbytes(65536 * 1000), head)
    key, step = derive_file_key(builders.RECORDING_KEY, head), 65552
    with path.open("rb+") as file, SealedReader(path, key) as reader:
        for index in range(1000):
            at = len(head.raw) + index * step + rng.randrange(step)
            file.seek(at)
            file.write(bytes([data[at] ^ 1 << rng.randrange(8)]))
            file.flush()
            with pytest.raises(IntegrityError):
                reader.read_range(index * 65536, (index + 1) * 65536)
    record_property("figure", "1000 of 1000 damaged segments seen")
