"""What the body of a record may hold. Intake may be hostile, and what is taken is shown and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from appliance.intake_session import MAX_STATEMENT_CHARS
from appliance.intake_state import CHECK_RESULTS, CHECKS, STATE_EVENTS, RecordKind

MAX_COUNT = 2**31 - 1
MAX_NUMBER = 1e16
MAX_NUMBERS = 32
MAX_NAME = 128


class RefusedRecordError(Exception):
    """A record that its signature does not carry, or that says nothing we know."""


def sound_body(kind: RecordKind, body: Mapping[str, Any]) -> dict[str, Any]:
    """The known fields of a record's body. Raises RefusedRecordError for one of another shape."""
    known = {name: body[name] for name in _FIELDS[kind] if name in body}
    for name, value in known.items():
        if not _FIELDS[kind][name](value):
            raise RefusedRecordError(name)
    return known


def _count(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_COUNT


def _number(value: object) -> bool:
    """A finite number: neither an infinity nor NaN is less than the limit."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MAX_NUMBER


def _text(value: object) -> bool:
    """A text that the database takes: no NUL, no half of a surrogate pair."""
    if not isinstance(value, str) or len(value) > MAX_STATEMENT_CHARS or "\0" in value:
        return False
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


def _figures(value: object) -> bool:
    """A small flat object of names with numbers, or with names such as a receipt's: no words of anybody's."""
    if not isinstance(value, dict) or len(value) > MAX_NUMBERS:
        return False
    return all(_name(name) and (_number(each) or _name(each)) for name, each in value.items())


def _one_of(words: tuple[str, ...]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and value in words


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _day_key(value: object) -> bool:
    return isinstance(value, dict) and set(value) == {"id", "public"} and all(map(_name, value.values()))


def _name(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_NAME and value.isascii() and value.isprintable()


_SIGNED: dict[str, Callable[[object], bool]] = {"generation": _count, "statement": _text, "signature": _text}
_FIELDS: dict[RecordKind, dict[str, Callable[[object], bool]]] = {
    RecordKind.BOUND: {
        "generation": _count,
        "browser_key": _text,
        "page": _text,
        "token_sha256": _text,
        "signature": _text,
        "address": _text,
        "clock_ahead_ms": _number,
        "day_key": _day_key,
    },
    RecordKind.REBIND_REQUESTED: {"generation": _count, "address": _text},
    RecordKind.CHECKED: {
        **dict.fromkeys(CHECKS, _one_of(CHECK_RESULTS)),
        "heard": _flag,
        "numbers": _figures,
    },
    RecordKind.CONSENT: {**_SIGNED, "address": _text},
    RecordKind.CONSENT_WITHDRAWN: {**_SIGNED, "address": _text},
    RecordKind.STATE: {
        "event": _one_of(STATE_EVENTS),
        "question": _count,
        "track": _text,
        "epoch": _text,
        "n": _count,
        "flag": _count,
    },
    RecordKind.FINISH: {**_SIGNED, "receipt": _figures},
}
