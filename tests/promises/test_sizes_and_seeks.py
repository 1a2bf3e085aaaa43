"""Promise: sizes and seeks are right, at every edge of a segment, in any order, by many readers at once."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from storage.keys import derive_file_key
from storage.sealed import SealedReader, SealedWriter
from storage.segment_format import SealedHeader
from storage.suites import SUITES
from tests.storage import builders

pytestmark = pytest.mark.promise
SEGMENT = 1024
SIZES = [0, 1, 1000, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 2 * SEGMENT + 500]
STEPS = [1, 7, 512, SEGMENT - 1, SEGMENT, SEGMENT + 1]
EVERY_SUITE = pytest.mark.parametrize("suite", SUITES)
SEEKS = [  # (offset, whence, count)
    (0, 0, 1), (0, 0, 0), (0, 0, -1), (0, 2, 1), (-1, 2, 1), (-1, 2, 5), (1, 2, 1), (SEGMENT, 0, 1),
    (SEGMENT - 1, 0, 2), (SEGMENT + 1, 0, SEGMENT), (5, 0, 3), (2, 1, 3), (-4, 1, 3), (0, 1, SEGMENT * 2),
    (10**12, 0, 1), (-SEGMENT, 2, SEGMENT), (-SEGMENT - 1, 2, -1), (SEGMENT * 2, 0, 10**9), (3, 0, SEGMENT),
    (0, 0, -1),
]  # fmt: skip


def _new_file(suite: int) -> tuple[SealedHeader, bytes]:
    """A header for one write, and its key."""
    head = builders.header(SEGMENT, suite=suite)
    return head, derive_file_key(builders.RECORDING_KEY, head)


@EVERY_SUITE
@pytest.mark.parametrize("budget", [0, SEGMENT, 10 * SEGMENT])
@pytest.mark.parametrize("size", SIZES)
def test_every_size_in_every_step(tmp_path: Path, size: int, budget: int, suite: int) -> None:
    plain = random.Random(size).randbytes(size)
    for step in STEPS:
        head, key = _new_file(suite)
        with (tmp_path / "f").open("wb+") as file, SealedWriter(file.fileno(), head, key, budget) as writer:
            for at in range(0, size, step):
                writer.write(plain[at : at + step])
        with SealedReader(tmp_path / "f", key) as reader:
            assert reader.size == size
            pieces = [piece for _ in range(0, size, step) if (piece := reader.read(step))]
            assert [len(piece) for piece in pieces[:-1]] == [step] * (len(pieces) - 1)
            assert b"".join(pieces) == plain
            assert reader.read(1) == b""
            assert b"".join(reader.read_range(at, at + step) for at in range(0, size, step)) == plain


@EVERY_SUITE
@pytest.mark.parametrize("size", SIZES)
def test_twenty_seeks(tmp_path: Path, size: int, suite: int) -> None:
    head, key = _new_file(suite)
    builders.seal(tmp_path / "f", random.Random(size).randbytes(size), head)
    (tmp_path / "plain").write_bytes(random.Random(size).randbytes(size))
    with SealedReader(tmp_path / "f", key) as reader, (tmp_path / "plain").open("rb") as plain:
        for offset, whence, count in SEEKS:
            try:
                expected: object = plain.seek(offset, whence)
            except (OSError, ValueError):
                with pytest.raises(ValueError, match="negative"):
                    reader.seek(offset, whence)
                continue
            assert reader.seek(offset, whence) == expected
            assert reader.read(count) == plain.read(count)
            assert reader.tell() == plain.tell()


@EVERY_SUITE
def test_ten_thousand_ranges_by_eight_readers_at_once(
    tmp_path: Path, suite: int, record_property: Callable[[str, object], None]
) -> None:
    plain = random.Random(1).randbytes(40 * SEGMENT + 77)
    head, key = _new_file(suite)
    builders.seal(tmp_path / "f", plain, head)

    def read_some(seed: int) -> int:
        rng = random.Random(seed)
        for _ in range(1250):
            start = rng.randrange(len(plain) + 2)
            end = start + rng.choice([0, 1, 50, SEGMENT, rng.randrange(len(plain))])
            assert reader.read_range(start, end) == plain[start:end]
            assert all(len(piece) <= 16 * SEGMENT for piece in reader.iter_range(start, start + 100))
        return 1250

    with SealedReader(tmp_path / "f", key) as reader, ThreadPoolExecutor(8) as readers:
        total = sum(readers.map(read_some, range(8)))
    record_property(
        "figure",
        f"suite {suite}: {len(SIZES)} sizes in {len(STEPS)} steps; "
        f"{total} random ranges by 8 readers equal the plain slices",
    )
    assert total == 10_000
