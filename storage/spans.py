"""Arithmetic of runs of numbers and of spans of bytes. Pure."""

from __future__ import annotations

from collections.abc import Iterable

Span = tuple[int, int]


def runs(numbers: Iterable[int]) -> list[Span]:
    """Sorted numbers as (first, last), both included."""
    found: list[Span] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def spans_of(damaged: Iterable[int], step: int, size: int, covered: int = 0) -> list[Span]:
    """The bytes [start, end) of a plaintext of `size` bytes that damaged segments of `step` bytes take away.

    The first `covered` bytes are known from elsewhere.
    """
    spans = ((first * step, min(size, (last + 1) * step)) for first, last in runs(damaged))
    return [(max(start, covered), end) for start, end in spans if end > max(start, covered)]


def touched(spans: Iterable[Span], start: int, end: int) -> bool:
    """Whether any byte of [start, end) lies in one of the spans."""
    return any(max(first, start) < min(past, end) for first, past in spans)


def joined(spans: Iterable[Span]) -> list[Span]:
    """Sorted spans that are not empty and neither overlap nor touch."""
    found: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found
