"""Promise: damage is always seen. A flipped bit raises IntegrityError and gives nothing of what it hit."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.errors import IntegrityError, NotFound
from storage.journal import Journal
from storage.keys import derive_file_key, parse_record, unwrap, wrap
from storage.sealed import SealedReader
from storage.segment_format import parse_header
from storage.stream import EpochReader
from storage.suites import SUITES
from tests.storage import builders

pytestmark = pytest.mark.promise
Record = Callable[[str, object], None]
EVERY_SUITE = pytest.mark.parametrize("suite", SUITES)


def _flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@EVERY_SUITE
def test_every_bit_of_a_sealed_file(tmp_path: Path, suite: int, record_property: Record) -> None:
    """Header, three segments, and the last one's tag, which is the trailer that proves the length."""
    plain, path = random.Random(1).randbytes(64 * 2 + 30), tmp_path / "f"
    data = builders.seal(path, plain, builders.header(suite=suite))
    good = parse_header(data)
    key = derive_file_key(builders.RECORDING_KEY, good)
    segments = [(at, at + 80) for at in range(len(good.raw), len(data), 80)]
    assert len(segments) == 3
    for bit in range(len(data) * 8):
        path.write_bytes(_flipped(data, bit))
        with pytest.raises(IntegrityError):
            builders.open_whole(path)
        # A reader with the right key, as in a running replay, gets the other segments and not this one.
        hit = next((i for i, (start, end) in enumerate(segments) if start <= bit // 8 < end), None)
        if hit is None or hit == len(segments) - 1:
            with pytest.raises(IntegrityError):
                SealedReader(path, key)
            continue
        with SealedReader(path, key) as reader:
            with pytest.raises(IntegrityError):
                reader.read_range(hit * 64 + 63, hit * 64 + 65)
            with pytest.raises(IntegrityError):
                next(reader.iter_range(0, len(plain)))
            for index in {0, 1, 2} - {hit}:
                span = slice(index * 64, min(index * 64 + 64, len(plain)))
                assert reader.read_range(span.start, span.stop) == plain[span]
    record_property(
        "figure",
        f"suite {suite}: {len(data) * 8} of {len(data) * 8} flipped bits of a sealed file refused, "
        "0 altered bytes returned",
    )


@EVERY_SUITE
def test_every_bit_of_a_key_record(suite: int, record_property: Record) -> None:
    parent, key = bytes(range(32)), bytes(range(32, 64))
    made = wrap(parent, kind="recording", key_id="r1", parent="hr-2026", key=key, suite=suite)
    for bit in range(len(made) * 8):
        with pytest.raises(IntegrityError) as raised:
            unwrap(parent, _flipped(made, bit))
        assert raised.value.kind in ("key", "version")
    # Its nonce and its wrapped key are bytes of their own below the text.
    record = parse_record(made)
    for field, length in (("nonce", 12), ("wrapped", 48)):
        for bit in range(length * 8):
            with pytest.raises(IntegrityError, match="key"):
                unwrap(parent, dataclasses.replace(record, **{field: _flipped(getattr(record, field), bit)}))
    record_property("figure", f"suite {suite}: {len(made) * 8} flipped bits of a key record refused")


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
@EVERY_SUITE
def test_one_random_bit_in_each_of_a_thousand_segments(
    tmp_path: Path, suite: int, record_property: Record
) -> None:
    rng, path = random.Random(2), tmp_path / "f"
    head = builders.header(65536, suite=suite)
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
    record_property("figure", f"suite {suite}: 1000 of 1000 damaged segments seen")
