"""Watched spans of a recording: [start_ms, end_ms] pairs, sorted and apart. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from appliance.errors import InvalidInputError

MAX_SPANS = 500
MAX_REPORTED = 1000
MAX_MS = 7 * 24 * 3600 * 1000


def checked(ranges: Sequence[Sequence[int]]) -> list[list[int]]:
    """Spans as a page reports them. Raises InvalidInputError for anything else."""
    sound = isinstance(ranges, list | tuple) and len(ranges) <= MAX_REPORTED
    for span in ranges if sound else ():
        sound = (
            sound
            and isinstance(span, list | tuple)
            and len(span) == 2
            and all(isinstance(at, int) and not isinstance(at, bool) for at in span)
            and 0 <= span[0] <= span[1] <= MAX_MS
        )
    if not sound:
        raise InvalidInputError("The watched seconds were not understood.")
    return [[start, end] for start, end in ranges if end > start]


def merged(spans: Iterable[Sequence[int]]) -> list[list[int]]:
    """Sorted spans without overlap, at most MAX_SPANS: beyond that the narrowest pauses are closed."""
    result: list[list[int]] = []
    for start, end in sorted((start, end) for start, end in spans):
        if result and start <= result[-1][1]:
            result[-1][1] = max(result[-1][1], end)
        else:
            result.append([start, end])
    if len(result) <= MAX_SPANS:
        return result
    pauses = sorted(later[0] - earlier[1] for earlier, later in pairwise(result))
    narrow = pauses[len(result) - MAX_SPANS - 1]
    joined = [result[0]]
    for span in result[1:]:
        if span[0] - joined[-1][1] <= narrow:
            joined[-1][1] = span[1]
        else:
            joined.append(span)
    return joined


def total_ms(spans: Iterable[Sequence[int]]) -> int:
    """How long that is altogether."""
    return sum(end - start for start, end in spans)
