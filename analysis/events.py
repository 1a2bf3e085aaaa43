"""The events track on the recording clock: what was shown and done, and when each answer was given."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from storage.stream import EpochReader

from .timeline import Timeline

KINDS = {
    *("question_shown", "answer_started", "answer_ended", "mark", "typed"),
    *("tab_hidden", "tab_visible", "offline", "online", "reload", "screen_started", "screen_ended"),
}
MOST_EVENTS = 100_000
LONGEST_TEXT = 20_000


def read_events(readers: Iterable[EpochReader], timeline: Timeline) -> tuple[list[dict[str, Any]], int]:
    """Every event that can be understood, in order of time, and how many could not.

    Each has `at_ms` on the recording clock, `wall` and `kind`, and its own details as they came.
    """
    events: list[dict[str, Any]] = []
    refused = 0
    for reader in readers:
        page = reader.opening.clock.page_load
        for _n, plaintext in reader.iter_chunks():
            for raw in _list_of(plaintext):
                event = _understood(raw)
                if event is None or len(events) >= MOST_EVENTS:
                    refused += 1
                    continue
                monotonic = event.pop("t")
                events.append({"at_ms": round(timeline.at(page, monotonic, event["wall"])), **event})
    events.sort(key=lambda event: event["at_ms"])
    return events, refused


def _list_of(plaintext: bytes) -> list[Any]:
    try:
        raw = json.loads(plaintext)
    except (ValueError, RecursionError):
        return [None]
    return raw if isinstance(raw, list) else [None]


def _understood(raw: Any) -> dict[str, Any] | None:
    """A copy with plain values only, or None."""
    if not isinstance(raw, dict) or raw.get("kind") not in KINDS:
        return None
    times = (raw.get("t"), raw.get("wall"))
    if not all(isinstance(t, int | float) and math.isfinite(t) for t in times):
        return None
    return {
        str(key): value[:LONGEST_TEXT] if isinstance(value, str) else value
        for key, value in raw.items()
        if key != "at_ms" and (value is None or isinstance(value, str | int | float | bool))
    }


def answers(events: list[dict[str, Any]], end_ms: int) -> list[dict[str, int]]:
    """When each question was shown and answered: question, shown_ms, start_ms, end_ms.

    An answer without an end lasts to the next question or to the end of the recording.
    """
    found: dict[int, dict[str, int]] = {}
    for event in events:
        question = event.get("question")
        if not isinstance(question, int) or isinstance(question, bool):
            continue
        at = max(0, event["at_ms"])
        if event["kind"] == "question_shown":
            found.setdefault(question, {"question": question, "shown_ms": at})
        elif event["kind"] == "answer_started":
            found.setdefault(question, {"question": question, "shown_ms": at}).setdefault("start_ms", at)
        elif event["kind"] == "answer_ended" and question in found:
            found[question]["end_ms"] = at
    ordered = sorted(found.values(), key=lambda answer: answer["shown_ms"])
    for i, answer in enumerate(ordered):
        answer.setdefault("start_ms", answer["shown_ms"])
        last = end_ms if i + 1 == len(ordered) else ordered[i + 1]["shown_ms"]
        answer.setdefault("end_ms", max(last, answer["start_ms"]))
    return ordered
