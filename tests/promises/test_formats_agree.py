"""Promise: the formats are stable and independent. A second implementation opens what the first wrote."""

from __future__ import annotations

import json
import random
import struct
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from storage.errors import IntegrityError
from storage.journal import Journal
from storage.keys import new_key, unwrap, wrap
from storage.opening import open_epoch_key, parse_opening, verify_opening
from storage.segment_format import new_header
from storage.stream import EpochReader
from storage.suites import SUITES
from tests.storage import builders, reference, reference_suite_2
from tests.storage.make_vectors import PATH as VECTORS

pytestmark = pytest.mark.promise
Record = Callable[[str, object], None]


class _Reader(NamedTuple):
    """A second implementation; `longest` random files it reads in good time, in bytes."""

    open_sealed: Callable[[bytes, bytes], bytes]
    unwrap_key: Callable[[bytes, bytes], bytes]
    longest: int


READERS = {
    1: _Reader(reference.open_sealed, reference.unwrap_key, 3000),
    2: _Reader(reference_suite_2.open_sealed, reference_suite_2.unwrap_key, 300),
}
EVERY_SUITE = pytest.mark.parametrize("suite", SUITES)


@EVERY_SUITE
@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.long)])
def test_a_second_implementation_opens_sealed_files(
    tmp_path: Path, suite: int, count: int, record_property: Record
) -> None:
    rng, reader = random.Random(count), READERS[suite]
    for i in range(count):
        size = rng.choice([0, 1, 63, 64, 65, 128, rng.randrange(reader.longest)])
        plain, key = rng.randbytes(size), rng.randbytes(32)
        owner, kind = uuid.UUID(int=rng.getrandbits(128)), rng.choice(["track", "document"])
        head = builders.header(1 << rng.randrange(6, 10), kind=kind, owner=owner, suite=suite)
        data = builders.seal(tmp_path / "f", plain, head, key)
        assert reader.open_sealed(data, key) == plain, i
    record_property("figure", f"suite {suite}: {count} of {count} random sealed files agree")


@EVERY_SUITE
def test_a_second_implementation_opens_whole_segments(tmp_path: Path, suite: int) -> None:
    head = new_header(builders.VAULT, builders.RECORDING, "track", "camera", suite)
    plain = random.Random(2).randbytes(65536 + 17)
    data = builders.seal(tmp_path / "f", plain, head)
    assert READERS[suite].open_sealed(data, builders.RECORDING_KEY) == plain


def test_a_second_implementation_opens_epochs(tmp_path: Path, record_property: Record) -> None:
    rng = random.Random(4)
    for _ in range(20):
        chunks = [rng.randbytes(rng.randrange(500)) for _ in range(rng.randrange(1, 8))]
        made = builders.epoch(chunks)
        builders.journal_of(tmp_path / made.opening.epoch.hex(), made)
        records = list(reference.read_journal((tmp_path / made.opening.epoch.hex()).read_bytes()))
        assert [kind for kind, *_ in records] == [1, 2, 1] + [2] * len(chunks)
        assert {epoch for *_, epoch, _ in records} == {made.opening.epoch}
        opening = records[0][4]
        bodies = [(n, flag, payload) for kind, flag, n, _, payload in records if kind == 2]
        *opened, end = reference.open_epoch(opening, builders.DAY_PRIVATE, bodies)
        assert opened == chunks
        assert end == b'{"chunks":%d,"clock":9999.5,"wall":1700000008765.0}' % len(chunks)
    record_property("figure", "20 random epochs agree")


@EVERY_SUITE
def test_a_second_implementation_unwraps_keys(suite: int) -> None:
    parent, key = new_key(), new_key()
    for public in (None, builders.DAY_PUBLIC):
        record = wrap(
            parent, kind="day", key_id="2026-11-22", parent="v", key=key, public=public, suite=suite
        )
        assert READERS[suite].unwrap_key(record, parent) == key


def test_version_1_opens_for_ever(tmp_path: Path, record_property: Record) -> None:
    vectors, path = json.loads(VECTORS.read_text(encoding="utf-8")), tmp_path / "f"
    for vector in vectors["sealed"]:
        data, key = bytes.fromhex(vector["data"]), bytes.fromhex(vector["key"])
        path.write_bytes(data)
        if "plaintext" in vector:
            plain = bytes.fromhex(vector["plaintext"])
            assert builders.open_whole(path, key) == reference.open_sealed(data, key) == plain, vector["name"]
            continue
        with pytest.raises(IntegrityError) as raised:
            builders.open_whole(path, key)
        assert raised.value.kind == vector["failure"], vector["name"]
        with pytest.raises((ValueError, struct.error)):
            reference.open_sealed(data, key)
    epoch, key = vectors["epoch"], vectors["key"]
    path.write_bytes(bytes.fromhex(epoch["journal"]))
    ((name, state),) = Journal(path).state().items()
    opening = parse_opening(Journal(path).opening(bytes.fromhex(name)))
    verify_opening(opening)
    epoch_key = open_epoch_key(bytes.fromhex(epoch["day_private"]), opening)
    with EpochReader(path, opening.epoch, epoch_key, opening) as reader:
        assert [plaintext.hex() for _, plaintext in reader.iter_chunks()] == epoch["plaintexts"]
        assert (reader.gaps, state.end) == ([], len(epoch["plaintexts"]))
        assert reader.end_record is not None
    assert unwrap(bytes.fromhex(key["parent"]), key["record"].encode()).hex() == key["key"]
    record_property("figure", f"{len(vectors['sealed']) + 2} vectors of version 1 open or fail by name")
