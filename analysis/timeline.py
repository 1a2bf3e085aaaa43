"""One clock for a recording that was made over several page loads. Pure arithmetic, all times in ms.

Within one page load the browser's monotonic clock is believed. Page loads follow each other by wall clock,
never overlap, and a pause between them longer than `LONGEST_PAUSE_MS` is shortened to that (somebody may
come back the next day); the true length is kept as `cut_ms`. Time zero is the start of the first epoch of
sound or picture.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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
    """One page load on the recording clock, and how much of the pause before it was left out."""

    page: bytes
    start_ms: float
    end_ms: float
    wall_ms: float
    cut_ms: float


@dataclass(frozen=True)
class Timeline:
    """Maps a page's own times to the recording clock."""

    pages: tuple[PageSpan, ...]
    offsets: dict[bytes, float]

    def at(self, page: bytes, monotonic_ms: float, wall_ms: float) -> float:
        """The recording time of a moment. Moments of a page that recorded no media go by wall clock.

        Such a moment is kept within the pause that it falls into. What happened before the first sample is
        negative.
        """
        if page in self.offsets:
            return monotonic_ms + self.offsets[page]
        before = [span for span in self.pages if span.wall_ms <= wall_ms]
        if not before:
            return min(0.0, wall_ms - self.pages[0].wall_ms) if self.pages else 0.0
        span = before[-1]
        at = span.start_ms + (wall_ms - span.wall_ms)
        later = self.pages[len(before) : len(before) + 1]
        return min(at, later[0].start_ms if later else span.end_ms + LONGEST_PAUSE_MS)


def place(epochs: Iterable[EpochClock]) -> Timeline:
    """Lay the page loads of `epochs` one after the other. Media epochs decide where there are any."""
    epochs = list(epochs)
    chosen = [epoch for epoch in epochs if epoch.is_media] or epochs
    pages: dict[bytes, list[EpochClock]] = {}
    for epoch in chosen:
        pages.setdefault(epoch.page, []).append(epoch)
    spans: list[PageSpan] = []
    offsets: dict[bytes, float] = {}
    for page, members in sorted(pages.items(), key=lambda item: min(e.wall_ms for e in item[1])):
        first = min(members, key=lambda epoch: epoch.start_ms)
        length = max(e.start_ms + max(0.0, e.length_ms) for e in members) - first.start_ms
        start, cut = 0.0, 0.0
        if spans:
            previous = spans[-1]
            pause = first.wall_ms - (previous.wall_ms + previous.end_ms - previous.start_ms)
            kept = min(max(pause, 0.0), LONGEST_PAUSE_MS)
            start, cut = previous.end_ms + kept, max(pause, 0.0) - kept
        spans.append(PageSpan(page, start, start + length, first.wall_ms, cut))
        offsets[page] = start - first.start_ms
    return Timeline(tuple(spans), offsets)
