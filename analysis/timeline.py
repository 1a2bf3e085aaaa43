"""One clock for a recording that was made over several page loads. Pure arithmetic, all times in ms.

Within one page load the browser's monotonic clock gives the order and the distances; page loads follow each
other by wall clock and never overlap. A pause longer than `LONGEST_PAUSE_MS`, within a page load or between
two, is shortened to that (somebody may come back the next day, and a clock may say anything); the true length
is kept as `cut_ms`. Time zero is the start of the first epoch of sound or picture. So a recording is never
longer than what was recorded and its shortened pauses together.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

LONGEST_PAUSE_MS = 10_000.0
# The last moment that a browser's Date can hold; up to here sums and differences are good to 2 ms.
LARGEST_CLOCK_MS = 8.64e15


@dataclass(frozen=True)
class EpochClock:
    """When one epoch was recorded: by its page's monotonic clock, by wall clock, and for how long."""

    page: bytes
    start_ms: float
    wall_ms: float
    length_ms: float
    is_media: bool = True


@dataclass(frozen=True)
class PageSpan:
    """A stretch of one page load on the recording clock, and how much of the pause before it was left out.

    A page load is one stretch, or several where long pauses within it were cut. `from_ms` is its start by the
    page's own clock.
    """

    page: bytes
    from_ms: float
    start_ms: float
    end_ms: float
    wall_ms: float
    cut_ms: float


@dataclass(frozen=True)
class Timeline:
    """Maps a page's own times to the recording clock."""

    pages: tuple[PageSpan, ...]

    @cached_property
    def _walls(self) -> list[float]:
        return [span.wall_ms for span in self.pages]

    @cached_property
    def _starts(self) -> dict[bytes, tuple[list[int], list[float]]]:
        """Of each page load: where its stretches are in `pages`, and when they start by its own clock."""
        found: dict[bytes, tuple[list[int], list[float]]] = {}
        for i, span in enumerate(self.pages):
            indexes, starts = found.setdefault(span.page, ([], []))
            indexes.append(i)
            starts.append(span.from_ms)
        return found

    def at(self, page: bytes, monotonic_ms: float, wall_ms: float) -> float:
        """The recording time of a moment. Moments of a page that recorded no media go by wall clock.

        A moment in which no media was recorded is kept within the pause that it falls into. What happened
        before the first sample is negative.
        """
        if not self.pages:
            return 0.0
        if page in self._starts:
            indexes, starts = self._starts[page]
            i = indexes[max(bisect_right(starts, monotonic_ms) - 1, 0)]
            since = monotonic_ms - self.pages[i].from_ms
        else:
            i = max(bisect_right(self._walls, wall_ms) - 1, 0)
            since = wall_ms - self.pages[i].wall_ms
        span = self.pages[i]
        at = span.start_ms + since
        if i > 0:
            at = max(at, self.pages[i - 1].end_ms)
        following = self.pages[i + 1 : i + 2]
        return min(at, following[0].start_ms if following else span.end_ms + LONGEST_PAUSE_MS)


def can_be_placed(monotonic_ms: float, wall_ms: float) -> bool:
    """Whether these are times that a browser's clocks can show."""
    return max(abs(monotonic_ms), abs(wall_ms)) <= LARGEST_CLOCK_MS


def place(epochs: Iterable[EpochClock]) -> Timeline:
    """Lay the stretches of `epochs` one after the other. Media epochs decide where there are any.

    Every epoch's clocks are such that `can_be_placed`.
    """
    epochs = list(epochs)
    chosen = [epoch for epoch in epochs if epoch.is_media] or epochs
    pages: dict[bytes, list[EpochClock]] = {}
    for epoch in chosen:
        pages.setdefault(epoch.page, []).append(epoch)
    stretches = [stretch for members in pages.values() for stretch in _stretches(members)]
    # Only stable sorting keeps the stretches of a page in order where the wall clock is too coarse for it.
    stretches.sort(key=lambda stretch: stretch.wall_ms)
    spans: list[PageSpan] = []
    for stretch in stretches:
        start, cut = 0.0, 0.0
        if spans:
            previous = spans[-1]
            passed = previous.end_ms - previous.start_ms
            if previous.page == stretch.page:
                pause = stretch.from_ms - (previous.from_ms + passed)
            else:
                pause = stretch.wall_ms - (previous.wall_ms + passed)
            kept = min(max(pause, 0.0), LONGEST_PAUSE_MS)
            start, cut = previous.end_ms + kept, max(pause, 0.0) - kept
        length = stretch.end_ms - stretch.start_ms
        spans.append(replace(stretch, start_ms=start, end_ms=start + length, cut_ms=cut))
    return Timeline(tuple(spans))


def _stretches(members: list[EpochClock]) -> list[PageSpan]:
    """The epochs of one page load without its long pauses; each stretch begins at 0 ms."""
    found: list[PageSpan] = []
    ordered = sorted(members, key=lambda epoch: epoch.start_ms)
    first = ordered[0]
    for epoch in ordered:
        length = max(0.0, epoch.length_ms)
        last = found[-1] if found else None
        if last is not None and epoch.start_ms - (last.from_ms + last.end_ms) <= LONGEST_PAUSE_MS:
            reached = max(last.end_ms, epoch.start_ms - last.from_ms + length)
            found[-1] = replace(last, end_ms=reached)
        else:
            wall = first.wall_ms + (epoch.start_ms - first.start_ms)
            found.append(PageSpan(epoch.page, epoch.start_ms, 0.0, length, wall, 0.0))
    return found
