"""What a speech engine listens to at once: stretches of speech, put together without the pauses.

A window is at most 28 s of sound, since Whisper hears 30 s at a time whether they are full or not. It never
crosses a boundary (a new question, a new epoch), so words are never counted to the wrong answer.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ..media import RATE
from .voice_activity import FRAME_MS, Stretch

LONGEST_MS = 28_000.0
PADDING_MS = 200.0
CUT_SEARCH_MS = 8_000.0
SHORTEST_PART_MS = 1_000.0
LOOSE_MS = 400.0


@dataclass(frozen=True)
class Window:
    """Pieces (start, end) of the track in ms, in order, heard one after the other."""

    pieces: tuple[tuple[float, float], ...]

    @property
    def length_ms(self) -> float:
        """How long it sounds."""
        return sum(end - start for start, end in self.pieces)

    def track_span(self, start_ms: float, end_ms: float) -> tuple[float, float]:
        """The span of the track behind a span of the window, in ms.

        An engine's times are a little loose: what reaches only a moment into a neighbouring piece does not
        reach there, since minutes of silence may lie between the two.
        """
        reached: list[tuple[float, float]] = []  # in ms of the track
        at = 0.0
        for piece_start, piece_end in self.pieces:
            length = piece_end - piece_start
            first, past = max(start_ms, at), min(end_ms, at + length)
            if first <= past:
                reached.append((piece_start + first - at, piece_start + past - at))
            at += length
        if not reached:
            return self.pieces[-1][1], self.pieces[-1][1]
        longest = max(past - first for first, past in reached)
        lasting = [span for span in reached if span[1] - span[0] >= min(LOOSE_MS, longest)]
        return lasting[0][0], lasting[-1][1]


@dataclass(frozen=True)
class Heard:
    """A window with its sound, 16 kHz mono float32."""

    window: Window
    samples: np.ndarray

    def after(self, window_ms: float) -> Heard:
        """What is left of it from a time in the window on."""
        pieces, skipped = [], window_ms
        for start, end in self.window.pieces:
            if skipped < end - start:
                pieces.append((start + skipped, end))
            skipped = max(0.0, skipped - (end - start))
        return Heard(Window(tuple(pieces)), self.samples[round(window_ms * RATE / 1000) :])


def plan_windows(
    stretches: Iterable[Stretch], probabilities: np.ndarray, boundaries_ms: Iterable[float] = ()
) -> list[Window]:
    """Pack stretches of speech into windows. `boundaries_ms` in ms of the track."""
    bounds = sorted(boundaries_ms)
    padded = _padded(list(stretches), len(probabilities) * FRAME_MS)
    pieces = _split_long(_split_at(padded, bounds), probabilities)
    windows: list[list[tuple[float, float]]] = []
    length, group = 0.0, -1
    for start, end in pieces:
        piece_group = bisect.bisect_right(bounds, (start + end) / 2)
        if not windows or piece_group != group or length + end - start > LONGEST_MS:
            windows.append([])
            length, group = 0.0, piece_group
        windows[-1].append((start, end))
        length += end - start
    return [Window(tuple(window)) for window in windows]


def _padded(stretches: list[Stretch], sound_ms: float) -> list[tuple[float, float]]:
    """A little room around each stretch, never into the next and never past the end of the sound."""
    padded: list[tuple[float, float]] = []
    for n, stretch in enumerate(stretches):
        before = stretches[n - 1].end_ms if n else -np.inf
        after = stretches[n + 1].start_ms if n + 1 < len(stretches) else np.inf
        start = max(0.0, stretch.start_ms - PADDING_MS, (before + stretch.start_ms) / 2)
        end = min(sound_ms, stretch.end_ms + PADDING_MS, (stretch.end_ms + after) / 2)
        padded.append((start, end))
    return padded


def _split_at(pieces: Iterable[tuple[float, float]], bounds: list[float]) -> Iterator[tuple[float, float]]:
    """Cut at the boundaries, except so near to an end that only a breath would be cut off."""
    for start, end in pieces:
        inside = [bound for bound in bounds if start + SHORTEST_PART_MS < bound < end - SHORTEST_PART_MS]
        edges = [start, *inside, end]
        yield from itertools.pairwise(edges)


def _split_long(
    pieces: Iterable[tuple[float, float]], probabilities: np.ndarray
) -> Iterator[tuple[float, float]]:
    """Cut what is too long where speech is least likely."""
    for start, end in pieces:
        rest = start
        while end - rest > LONGEST_MS:
            first = int((rest + LONGEST_MS - CUT_SEARCH_MS) / FRAME_MS)
            past = int((rest + LONGEST_MS) / FRAME_MS)
            candidates = probabilities[first:past]
            cut = (first + int(np.argmin(candidates))) * FRAME_MS if len(candidates) else rest + LONGEST_MS
            yield rest, cut
            rest = cut
        yield rest, end


def cut_windows(blocks: Iterable[np.ndarray], windows: Iterable[Window]) -> Iterator[Heard]:
    """Give each window its sound while `blocks` go by; holds little more than one window."""
    source = iter(blocks)
    held, held_from = np.zeros(0, np.float32), 0
    exhausted = False
    for window in windows:
        parts = []
        for start_ms, end_ms in window.pieces:
            start, end = round(start_ms * RATE / 1000), round(end_ms * RATE / 1000)
            while held_from + len(held) < end and not exhausted:
                block = next(source, None)
                if block is None:
                    exhausted = True
                    break
                drop = min(max(0, start - held_from), len(held))
                held, held_from = np.concatenate([held[drop:], block]), held_from + drop
            part = held[max(0, start - held_from) : max(0, end - held_from)]
            parts.append(np.pad(part, (0, max(0, end - start - len(part)))))
        yield Heard(window, np.concatenate(parts))
