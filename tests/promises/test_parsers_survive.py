"""Promise: the parsers of storage survive anything: only typed errors, quickly, whatever bytes come."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.check import check_journal
from storage.errors import VaultError
from storage.keys import parse_record
from storage.opening import parse_opening, verify_opening
from storage.segment_format import layout_of, parse_header
from tests.storage import builders

pytestmark = pytest.mark.promise


def _mutants(seed: bytes, count: int) -> list[bytes]:
    """Cuts, flips, repeats, inserts and noise of a good input."""
    rng, made = random.Random(5), []
    for _ in range(count):
        data = bytearray(seed)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(data) + 1)
            match rng.randrange(5):
                case 0:
                    del data[at:]
                case 1 if at < len(data):
                    data[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
                case 2:
                    data[at:at] = data[: rng.randrange(40)]
                case 3:
                    data[at:at] = rng.randbytes(rng.randrange(40))
                case _:
                    del data[at : at + rng.randrange(8)]
        made.append(bytes(data))
    return made


def _survives(parse: Callable[[bytes], object], seed: bytes, count: int) -> int:
    slowest = 0.0
    for data in _mutants(seed, count):
        start = time.perf_counter()
        with contextlib.suppress(VaultError):
            parse(data)
        slowest = max(slowest, time.perf_counter() - start)
    assert slowest < 1, "one input took over a second"
    return count


@pytest.mark.parametrize("count", [1_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_parsers_survive_anything(
    tmp_path: Path, count: int, record_property: Callable[[str, object], None]
) -> None:
    made, path = builders.epoch([b"one", b"two"]), tmp_path / "j"
    record = b'{"created":"","id":"r1","kind":"recording","nonce":"AAAAAAAAAAAAAAAA","parent":"p",'
    record += b'"version":1,"wrapped":"AAAA"}'
    parse_record(record)

    def journal(data: bytes) -> None:
        path.write_bytes(data)
        check_journal(path, full=True)

    total = _survives(lambda data: layout_of(parse_header(data), 10_000), builders.header().raw, count)
    total += _survives(lambda data: verify_opening(parse_opening(data)), made.opening.raw, count)
    total += _survives(parse_record, record, count)
    total += _survives(journal, builders.journal_of(tmp_path / "good", made).path.read_bytes(), count)
    record_property("figure", f"{total} mutated inputs of 4 parsers: typed errors only")
