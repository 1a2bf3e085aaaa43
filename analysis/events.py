"""The events track on the recording clock: what was shown and done, and when each answer was given."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from storage.stream import EpochReader

from .documents import LARGEST_DOCUMENT, canonical
from .timeline import LARGEST_CLOCK_MS, Timeline

KINDS = {
    *("question_shown", "answer_started", "answer_ended", "mark", "typed"),
    *("tab_hidden", "tab_visible", "offline", "online", "reload", "screen_started", "screen_ended"),
}
MOST_EVENTS = 100_000
LONGEST_TEXT = 20_000
LONGEST_NAME = 100
MOST_DETAILS = 50
LARGEST_TOTAL = LARGEST_DOCUMENT // 2  # bytes of all events; the rest of the timeline needs room too
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


def read_events(readers: Iterable[EpochReader], timeline: Timeline) -> tuple[list[dict[str, Any]], int]:
    """Every event that can be understood, in order of time, and how many could not.

    Each has `at_ms` on the recording clock, `wall` and `kind`, and its own details as they came.
    """
    events: list[dict[str, Any]] = []
    refused, room = 0, LARGEST_TOTAL
    for reader in readers:
        page = reader.opening.clock.page_load
        for _n, plaintext in reader.iter_chunks():
            for raw in _list_of(plaintext):
                event = sound_event(raw)
                room -= len(canonical(event)) if event else 0
                if event is None or room < 0 or len(events) >= MOST_EVENTS:
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


def sound_event(raw: Any) -> dict[str, Any] | None:
    """What a stranger's browser sent as an event, as plain values that any JSON can hold; None if it is none.

    `kind` is one of KINDS, `t` and `wall` are moments that a browser's clock can show. Of its details a
    nested one is left out, text is cut and made encodable; a number that cannot be one refuses the event.
    """
    if not isinstance(raw, dict) or not isinstance(raw.get("kind"), str) or raw["kind"] not in KINDS:
        return None
    if len(raw) > MOST_DETAILS or not all(_is_sound_number(raw.get(time)) for time in ("t", "wall")):
        return None
    event: dict[str, Any] = {}
    for key, value in raw.items():
        if value is None or isinstance(value, bool) or _is_sound_number(value):
            event[_sound_text(key, LONGEST_NAME)] = value
        elif isinstance(value, str):
            event[_sound_text(key, LONGEST_NAME)] = _sound_text(value, LONGEST_TEXT)
        elif isinstance(value, int | float):
            return None
    event.pop("at_ms", None)
    return event


def _is_sound_number(value: Any) -> bool:
    """Whether a number means the same to every reader; NaN compares false, and no integer is too large to."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -LARGEST_CLOCK_MS <= value <= LARGEST_CLOCK_MS


def _sound_text(text: str, longest: int) -> str:
    """JSON may spell half a character (a lone surrogate), which no UTF-8 can hold."""
    return _HALF_CHARACTER.sub("\ufffd", text[:longest])


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
