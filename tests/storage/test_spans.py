"""The arithmetic of runs and spans, against the plain sets that it stands for."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from storage.spans import joined, runs, spans_of, touched

NUMBERS = st.sets(st.integers(0, 60)).map(sorted)
SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted).map(tuple), max_size=8)


def members(spans: list[tuple[int, int]]) -> set[int]:
    return {n for start, end in spans for n in range(start, end)}


@given(NUMBERS)
def test_runs_are_the_numbers_in_as_few_pieces_as_can_be(numbers: list[int]) -> None:
    found = runs(numbers)
    assert [n for first, last in found for n in range(first, last + 1)] == numbers
    assert all(later[0] > earlier[1] + 1 for earlier, later in pairwise(found))


@given(NUMBERS, st.integers(1, 9), st.integers(0, 300), st.integers(0, 300))
def test_spans_are_the_bytes_of_the_damaged_segments_that_are_not_known_from_elsewhere(
    damaged: list[int], step: int, size: int, covered: int
) -> None:
    wanted = {at for n in damaged for at in range(n * step, (n + 1) * step) if covered <= at < size}
    assert members(spans_of(damaged, step, size, covered)) == wanted
    assert all(start < end for start, end in spans_of(damaged, step, size, covered))


@given(SPANS)
def test_joined_spans_are_the_same_bytes_apart_from_each_other(spans: list[tuple[int, int]]) -> None:
    found = joined(spans)
    assert members(found) == members(spans)
    assert all(later[0] > earlier[1] for earlier, later in pairwise(found))


@given(SPANS, st.integers(0, 60), st.integers(0, 60))
def test_touched_means_a_byte_in_common(spans: list[tuple[int, int]], start: int, end: int) -> None:
    assert touched(spans, start, end) == bool(members(spans) & set(range(start, end)))
