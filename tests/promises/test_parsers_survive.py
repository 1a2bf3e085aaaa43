"""Promise: the parsers survive anything. Those of storage: only typed errors, quickly, whatever bytes come.
That of a candidate's events: whatever JSON comes, each event is understood or refused, and the rest seals."""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.documents import canonical
from analysis.events import KINDS, answers, read_events
from analysis.timeline import EpochClock, place
from storage.check import check_journal
from storage.errors import VaultError
from storage.keys import parse_record
from storage.opening import parse_opening, verify_opening
from storage.segment_format import layout_of, parse_header
from storage.vault import Clock
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


# All that Python's parser makes of JSON and near-JSON: NaN, Infinity, lone surrogates, integers of any size.
_NUMBERS = st.one_of(
    st.integers(), st.floats(), st.booleans(), st.sampled_from([10**400, -(10**400), 2**63, 1e308, -1e308])
)
_TEXT = st.text(st.characters(codec=None), max_size=8)
_JSON = st.recursive(
    st.one_of(st.none(), _NUMBERS, _TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_TEXT, inner, max_size=3)),
    max_leaves=6,
)
_EVENTS = st.builds(
    lambda details, known: details | known,
    st.dictionaries(st.one_of(_TEXT, st.sampled_from(["question", "text", "at_ms"])), _JSON, max_size=4),
    st.fixed_dictionaries(
        {
            "kind": st.one_of(st.sampled_from(sorted(KINDS)), _JSON),
            "t": st.one_of(_NUMBERS, _JSON),
            "wall": st.one_of(_NUMBERS, _JSON),
        }
    ),
)


@given(
    chunks=st.lists(st.one_of(st.lists(st.one_of(_EVENTS, _JSON), max_size=5), _JSON), max_size=3),
    known_page=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_a_timeline_can_be_written_whatever_events_came(chunks: list[Any], known_page: bool) -> None:
    page = b"1" * 16
    timeline = place([EpochClock(page, 1000.0, 1e12, 2000.0)])
    texts = [json.dumps(chunk).encode() for chunk in chunks]
    opening = SimpleNamespace(clock=Clock(page if known_page else b"2" * 16, 1000.0, 1e12))
    reader = SimpleNamespace(opening=opening, iter_chunks=lambda: enumerate(texts))
    found, refused = read_events([reader], timeline)
    assert len(found) + refused == sum(len(c) if isinstance(c, list) else 1 for c in chunks)
    written = canonical({"events": found, "events_refused": refused, "answers": answers(found, 2000)})
    json.loads(written)
    assert [event["at_ms"] for event in found] == sorted(event["at_ms"] for event in found)
