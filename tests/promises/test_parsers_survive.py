"""Promise: the parsers survive anything. Those of storage: typed errors and little memory, whatever comes.
That of a candidate's events: whatever JSON comes, each event is understood or refused, and the rest seals."""

from __future__ import annotations

import contextlib
import json
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
from storage.errors import VaultError
from storage.vault import Clock
from tests.storage.parsers import PARSERS
from tests.support.mutants import mutants, peak_bytes

pytestmark = pytest.mark.promise
MAX_BYTES = 64 << 20


@pytest.mark.parametrize("count", [500, pytest.param(100_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_of_storage_survives_anything(
    tmp_path: Path, name: str, count: int, record_property: Callable[[str, object], None]
) -> None:
    """Only typed errors, whatever comes; what is taken all the same is genuine, and memory stays bounded."""
    parser, taken = PARSERS[name](tmp_path), 0

    def read_all() -> None:
        nonlocal taken
        for data in mutants(parser.corpus, count, seed=7):
            with contextlib.suppress(VaultError):
                assert parser.read(data) in parser.genuine
                taken += 1

    peak = peak_bytes(read_all)
    assert peak < MAX_BYTES
    assert taken > 0
    record_property(
        "figure",
        f"{name}: {count} mutated inputs, typed errors only, {taken} taken and genuine, "
        f"{peak / (1 << 20):.1f} MiB at most",
    )


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
