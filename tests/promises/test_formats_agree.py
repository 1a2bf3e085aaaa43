"""Promise: the formats are stable and independent. A second implementation opens what the first wrote."""

from __future__ import annotations

import json
import random
import struct
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from storage.check import check_journal
from storage.errors import BadOpening, IntegrityError
from storage.journal import Journal
from storage.keys import new_key, parse_record, unwrap, wrap
from storage.opening import open_epoch_key, parse_opening, verify_opening
from storage.segment_format import new_header
from storage.stream import EpochReader
from storage.suites import SUITES
from tests.storage import builders, make_vectors, reference, reference_suite_2

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


def _read_vectors(name: str) -> Any:
    return json.loads((make_vectors.FOLDER / name).read_text(encoding="utf-8"))


def _require_sealed(vectors: list[dict[str, str]], suite: int, path: Path) -> None:
    """Both readers open each file that is one, and refuse each other, here by the name of its failure."""
    for vector in vectors:
        data, key = bytes.fromhex(vector["data"]), bytes.fromhex(vector["key"])
        path.write_bytes(data)
        if "plaintext" in vector:
            plain = bytes.fromhex(vector["plaintext"])
            assert builders.open_whole(path, key) == plain, vector["name"]
            assert READERS[suite].open_sealed(data, key) == plain, vector["name"]
            continue
        with pytest.raises(IntegrityError) as raised:
            builders.open_whole(path, key)
        assert raised.value.kind == vector["failure"], vector["name"]
        with pytest.raises((ValueError, struct.error)):
            READERS[suite].open_sealed(data, key)


def test_version_1_opens_for_ever(tmp_path: Path, record_property: Record) -> None:
    vectors, path = _read_vectors("version_1.json"), tmp_path / "f"
    _require_sealed(vectors["sealed"], 1, path)
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


def test_suite_2_opens_for_ever(tmp_path: Path, record_property: Record) -> None:
    vectors = _read_vectors("suite_2.json")
    _require_sealed(vectors, 2, tmp_path / "f")
    assert len(vectors) >= 60
    record_property("figure", f"{len(vectors)} vectors of sealed files of suite 2 open or fail by name")


def test_key_records_open_for_ever(record_property: Record) -> None:
    vectors = _read_vectors("key_records.json")
    for vector in vectors:
        record, parent = vector["record"].encode("latin-1"), bytes.fromhex(vector["parent"])
        if "key" in vector:
            reader = READERS[parse_record(record).suite]
            assert unwrap(parent, record).hex() == vector["key"], vector["name"]
            assert reader.unwrap_key(record, parent).hex() == vector["key"], vector["name"]
            continue
        with pytest.raises(IntegrityError) as raised:
            unwrap(parent, record)
        assert raised.value.kind == vector["failure"], vector["name"]
    record_property("figure", f"{len(vectors)} vectors of key records open or fail by name")


def _take_opening(raw: bytes, day_private: bytes) -> bytes:
    opening = parse_opening(raw)
    verify_opening(opening)
    return open_epoch_key(day_private, opening)


def test_openings_are_taken_for_ever(record_property: Record) -> None:
    vectors = _read_vectors("openings.json")
    for vector in vectors:
        raw, day_private = bytes.fromhex(vector["opening"]), bytes.fromhex(vector["day_private"])
        if "epoch_key" in vector:
            assert _take_opening(raw, day_private).hex() == vector["epoch_key"], vector["name"]
            reference.open_epoch(parse_opening(raw).raw, day_private, [])
            continue
        with pytest.raises(BadOpening) as raised:
            _take_opening(raw, day_private)
        assert raised.value.kind == vector["failure"], vector["name"]
    record_property("figure", f"{len(vectors)} vectors of openings are taken or refused by name")


def test_journals_are_read_for_ever(tmp_path: Path, record_property: Record) -> None:
    vectors, path = _read_vectors("journals.json"), tmp_path / "j"
    for vector in vectors:
        path.write_bytes(bytes.fromhex(vector["journal"]))
        findings = sorted(finding.kind for finding in check_journal(path, full=True))
        epoch, opening, key = (bytes.fromhex(vector[name]) for name in ("epoch", "opening", "epoch_key"))
        with EpochReader(path, epoch, key, opening) as reader:
            read = {
                "findings": findings,
                "opens": {str(n): plaintext.hex() for n, plaintext in reader.iter_chunks()},
                "gaps": [list(gap) for gap in reader.gaps],
                "ended": reader.end_record is not None,
            }
        assert read == {name: vector[name] for name in read}, vector["name"]
    record_property("figure", f"{len(vectors)} vectors of journals, whole and damaged, are read as they say")


def test_no_vector_is_lost() -> None:
    """60 of sealed files in each suite, as many beside, and every name of a failure among them."""
    sealed = {1: _read_vectors("version_1.json")["sealed"], 2: _read_vectors("suite_2.json")}
    beside = [_read_vectors(f"{name}.json") for name in ("key_records", "openings", "journals")]
    assert all(len(vectors) >= 60 for vectors in sealed.values())
    assert sum(map(len, beside)) >= 60
    for vectors in (*sealed.values(), *beside):
        assert len({vector["name"] for vector in vectors}) == len(vectors)
    for vectors in sealed.values():
        assert _failures(vectors) == {"header", "version", "size", "last_segment", "segment"}
    keys, openings, journals = beside
    assert _failures(keys) == {"key", "version"}
    named = "magic length field suite signature recipient unwrap commitment"
    assert _failures(openings) == set(named.split())
    assert {kind for vector in journals for kind in vector["findings"]} == {"record", "torn_tail"}


def _failures(vectors: list[dict[str, str]]) -> set[str]:
    return {vector["failure"] for vector in vectors if "failure" in vector}
