"""What can still be read of a damaged sealed file: each byte proven or zero, never an altered one."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.errors import IntegrityError
from storage.head_format import TrackHead, head_start, parse_head
from storage.keys import derive_file_key
from storage.salvage import SalvageReader
from storage.sealed import SealedReader
from storage.segment_format import SealedHeader
from tests.storage import builders

HEAD = builders.header()  # of PLAIN alone: nothing else is ever encrypted under its key
KEY = derive_file_key(builders.RECORDING_KEY, HEAD)
STEP = 64
STORED = STEP + 16
START = len(HEAD.raw)
PLAIN = random.Random(7).randbytes(7 * STEP + 13)
SEGMENTS = 8


def known(covered: int = 0) -> TrackHead:
    return TrackHead(HEAD, len(PLAIN), PLAIN[:covered])


def key_of(head: SealedHeader) -> bytes:
    return derive_file_key(builders.RECORDING_KEY, head)


def flip(path: Path, *offsets: int) -> None:
    data = bytearray(path.read_bytes())
    for offset in offsets:
        data[offset] ^= 1
    path.write_bytes(data)


def damage(path: Path, *segments: int) -> None:
    flip(path, *(START + n * STORED + 5 for n in segments))


def zeroed(plaintext: bytes, *segments: int, covered: int = 0) -> bytes:
    data = bytearray(plaintext)
    for n in segments:
        start, end = max(n * STEP, covered), min((n + 1) * STEP, len(data))
        data[start:end] = bytes(max(0, end - start))
    return bytes(data)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return builders.seal(tmp_path_factory.mktemp("sealed") / "camera.fps", PLAIN, HEAD)


@pytest.fixture
def path(tmp_path: Path, sealed: bytes) -> Path:
    made = tmp_path / "camera.fps"
    made.write_bytes(sealed)
    return made


@pytest.mark.parametrize("with_head", [False, True])
@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 128, 461])
def test_a_whole_file_is_the_same_to_both_readers(tmp_path: Path, size: int, with_head: bool) -> None:
    path, header = tmp_path / "f", builders.header()
    builders.seal(path, PLAIN[:size], header)
    head = TrackHead(header, size, b"") if with_head else None
    with SalvageReader(path, key_of(header), head) as reader:
        assert (reader.read(), reader.size) == (PLAIN[:size], size)
        assert (reader.damaged, reader.holes) == ([], [])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.sets(st.integers(0, SEGMENTS - 1)),
    st.booleans(),
    st.sampled_from([0, 10, 64, 200, len(PLAIN)]),
    st.lists(st.tuples(st.integers(0, 500), st.integers(-1, 500)), max_size=6),
)
def test_damaged_segments_are_zeros_where_no_head_covers_them(
    path: Path, sealed: bytes, damaged: set[int], with_head: bool, covered: int, reads: list[tuple[int, int]]
) -> None:
    path.write_bytes(sealed)
    damage(path, *damaged)
    covered = covered if with_head else 0
    wanted = zeroed(PLAIN, *damaged, covered=covered)
    with SalvageReader(path, KEY, known(covered=covered) if with_head else None) as reader:
        assert reader.damaged == sorted(damaged)
        assert reader.read() == wanted
        lost = {at for start, end in reader.holes for at in range(start, end)}
        assert lost == {at for n in damaged for at in range(n * STEP, (n + 1) * STEP)} & set(
            range(covered, len(PLAIN))
        )
        for at, count in reads:
            reader.seek(at)
            assert reader.read(count) == wanted[at : None if count < 0 else at + count]


def test_a_damaged_header_costs_nothing_where_there_is_a_head(path: Path) -> None:
    flip(path, 3, 40)
    with pytest.raises(IntegrityError, match="header"):
        SalvageReader(path, KEY)
    with SalvageReader(path, KEY, known()) as reader:
        assert (reader.read(), reader.damaged) == (PLAIN, [])


@pytest.mark.parametrize("with_head", [False, True])
def test_every_length_that_a_file_can_be_cut_to_keeps_its_whole_segments(path: Path, with_head: bool) -> None:
    whole = path.read_bytes()
    for length in range(START + STORED, len(whole)):
        path.write_bytes(whole[:length])
        kept = (length - START) // STORED
        with SalvageReader(path, KEY, known() if with_head else None) as reader:
            data = reader.read()
            assert data[: kept * STEP] == PLAIN[: kept * STEP]
            assert not any(data[kept * STEP :])
            assert reader.damaged == [
                *range(kept, SEGMENTS if with_head else kept + (len(data) > kept * STEP))
            ]
            assert len(data) == len(PLAIN) or not with_head


@pytest.mark.parametrize("added", [1, 16, 17, 80, 333])
def test_what_was_added_behind_is_not_given(path: Path, added: int) -> None:
    path.write_bytes(path.read_bytes() + os.urandom(added))
    with SalvageReader(path, KEY, known()) as reader:
        assert (reader.read(), reader.damaged) == (PLAIN, [])
    full, header = PLAIN[: 7 * STEP], builders.header()
    path.write_bytes(builders.seal(path, full, header) + os.urandom(added))
    with SalvageReader(path, key_of(header)) as reader:
        assert (reader.read(), reader.damaged) == (full, [])


def test_an_older_copy_gives_nothing_of_itself(path: Path) -> None:
    builders.seal(path, PLAIN, builders.header())
    with SalvageReader(path, KEY, known()) as reader:
        assert reader.read() == bytes(len(PLAIN))
        assert reader.damaged == [*range(SEGMENTS)]


class Disk:
    """A disk whose reads can be spoilt: `spoil(offset, data, nth)` gives what the nth read of it answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, spoil: Any) -> None:
        real, counts = os.pread, {}

        def pread(fd: int, length: int, offset: int) -> bytes:
            counts[offset] = counts.get(offset, 0) + 1
            answer: bytes = spoil(offset, real(fd, length, offset), sum(counts.values()))
            return answer

        monkeypatch.setattr(os, "pread", pread)


@pytest.mark.parametrize("reader", [SealedReader, SalvageReader])
def test_a_bit_that_flips_in_memory_is_no_damage(
    path: Path, monkeypatch: pytest.MonkeyPatch, reader: Any
) -> None:
    """Each read of the disk gives a flipped bit in turn, once; the one after it is right."""
    for wrong in range(2, 40):
        seen: list[int] = []

        def spoil(_offset: int, data: bytes, nth: int, wrong: int = wrong, seen: list[int] = seen) -> bytes:
            seen.append(nth)
            return data[:-1] + bytes([data[-1] ^ 1]) if nth == wrong else data

        with monkeypatch.context() as patched:
            Disk(patched, spoil)
            with reader(path, KEY) as file:
                assert file.read() == PLAIN, wrong
        if max(seen) < wrong:
            return
    raise AssertionError("no read was left to spoil")


def test_a_block_that_cannot_be_read_costs_its_own_segments(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = START + 2 * STORED + 7

    def pread(fd: int, length: int, offset: int) -> bytes:
        if offset <= bad < offset + length:
            raise OSError(5, "Input/output error")
        return real(fd, length, offset)

    real = os.pread
    fd = os.open(path, os.O_RDONLY)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(os, "pread", lambda f, n, at: real(f, n, at) if at == 0 else pread(f, n, at))
            with SalvageReader(fd, KEY, known()) as reader:
                assert reader.damaged == [2]
                assert reader.read() == zeroed(PLAIN, 2)
            with SealedReader(fd, KEY) as sealed, pytest.raises(IntegrityError, match="segment"):
                sealed.read()
    finally:
        os.close(fd)


def test_what_is_damaged_only_after_it_was_proven_is_refused(path: Path) -> None:
    with SalvageReader(path, KEY, known()) as reader:
        damage(path, 3)
        with pytest.raises(IntegrityError, match="segment 3"):
            reader.read()


def test_a_head_is_read_as_it_was_written() -> None:
    data = head_start(HEAD, len(PLAIN)) + PLAIN[:100]
    assert parse_head(data) == TrackHead(HEAD, len(PLAIN), PLAIN[:100])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0",
        head_start(HEAD, 5)[:-1],
        head_start(HEAD, 5) + b"longer",
        b"\0\xff" + bytes(400),
        b"\x01\x01" + bytes(400),
        (len(HEAD.raw) + 1).to_bytes(2, "big") + HEAD.raw + b"x" + bytes(8),
    ],
    ids=range(7),
)
def test_what_is_no_head_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        parse_head(data)
