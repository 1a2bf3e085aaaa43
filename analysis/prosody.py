"""How somebody spoke, in countable terms: stretches, rate, pauses. Times in ms of the recording."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .language import count_units
from .signals import Segment, Signal

SHORTEST_PAUSE_MS = 700
SHORTEST_RATED_MS = 3000


@dataclass(frozen=True)
class Answer:
    """When one question was answered. Without questions the whole recording is one answer, number None."""

    question: int | None
    start_ms: float
    end_ms: float

    def contains(self, start_ms: float, end_ms: float) -> bool:
        """Whether the middle of a span lies in this answer."""
        return self.start_ms <= (start_ms + end_ms) / 2 <= self.end_ms


def speech_signals(stretches: Iterable[tuple[float, float, float]]) -> list[Signal]:
    """`speech_activity` for each (start, end, confidence)."""
    return [
        Signal("speech_activity", round(start), round(end), 1.0, "share", min(1.0, confidence))
        for start, end, confidence in stretches
    ]


def pause_signals(
    stretches: Sequence[tuple[float, float]],
    answers: Sequence[Answer],
    missing: Sequence[tuple[float, float]] = (),
) -> list[Signal]:
    """Silence of 0.7 s or more between two stretches of one answer, except where sound is missing."""
    found = []
    for answer in answers:
        inside = [(start, end) for start, end in stretches if answer.contains(start, end)]
        for (_, end), (start, _) in itertools.pairwise(inside):
            hidden = any(first < start and end < last for first, last in missing)
            if start - end >= SHORTEST_PAUSE_MS and not hidden:
                found.append(Signal("pause", round(end), round(start), round(start - end), "ms"))
    return found


def rate_signals(segments: Sequence[Segment], answers: Sequence[Answer], language: str) -> list[Signal]:
    """Speech rate of each answer from its first word to its last, pauses included.

    Chinese in characters a minute, otherwise words a minute. The confidence is that of the words counted.
    """
    unit = "characters_per_minute" if language == "zh" else "words_per_minute"
    found = []
    for answer in answers:
        inside = [s for s in segments if answer.contains(s.start_ms, s.end_ms)]
        units = sum(count_units(segment.text, language) for segment in inside)
        if not units:
            continue
        start, end = inside[0].start_ms, max(segment.end_ms for segment in inside)
        if end - start < SHORTEST_RATED_MS:
            continue
        confidence = sum(segment.confidence for segment in inside) / len(inside)
        found.append(Signal("speech_rate", start, end, units * 60_000 / (end - start), unit, confidence))
    return found
