"""What analysis may say about a recording, as data. Pure: schemas and their checks, no I/O.

A signal is one observation with a span on the recording clock (ms), a value in a stated unit, and a
confidence from 0 to 1. Signals describe what was seen and heard; nothing here names a feeling, a character
trait or an identity, and no kind for one may be added: `KINDS` is the whole list.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

VERSION = 1
# kind → unit. A `share` is a part of the span, 0 … 1.
KINDS: dict[str, frozenset[str]] = {
    "speech_activity": frozenset({"share"}),
    "speech_rate": frozenset({"characters_per_minute", "words_per_minute"}),
    "pause": frozenset({"ms"}),
    "face_present": frozenset({"share"}),
    "face_count": frozenset({"faces"}),
    "fps": frozenset({"fps"}),
    "sharpness": frozenset({"index"}),
    "snr": frozenset({"dB"}),
    "level": frozenset({"dbfs"}),
    "clipping": frozenset({"share"}),
}
# Statements of a report: text id → names of its parameters. The pages hold the sentences.
STATEMENTS: dict[str, frozenset[str]] = {
    "speech_share": frozenset({"percent", "seconds"}),
    "no_speech": frozenset(),
    "speech_rate_words": frozenset({"rate"}),
    "speech_rate_characters": frozenset({"rate"}),
    "pauses": frozenset({"count", "seconds"}),
    "longest_pause": frozenset({"seconds"}),
    "face_share": frozenset({"percent"}),
    "face_absent": frozenset({"seconds"}),
    "several_faces": frozenset({"seconds"}),
    "picture_slow": frozenset({"fps"}),
    "picture_soft": frozenset({"index"}),
    "sound_noisy": frozenset({"db"}),
    "sound_quiet": frozenset({"dbfs"}),
    "sound_clipped": frozenset({"percent"}),
    "no_sound": frozenset(),
    "missing": frozenset({"seconds"}),
}


class DocumentError(ValueError):
    """A document is not what its version promises."""


@dataclass(frozen=True)
class Signal:
    """One observation."""

    kind: str
    start_ms: int
    end_ms: int
    value: float
    unit: str
    confidence: float = 1.0

    def __post_init__(self) -> None:
        if self.unit not in KINDS.get(self.kind, ()):
            raise DocumentError(f"a signal of kind {self.kind!r} in {self.unit!r} is not known")
        if not self.start_ms <= self.end_ms:
            raise DocumentError("a signal ends before it starts")
        if not (math.isfinite(self.value) and 0.0 <= self.confidence <= 1.0):
            raise DocumentError("a signal's value or confidence is not a number that means something")


@dataclass(frozen=True)
class Segment:
    """A stretch of speech in words. `question` is the ordinal of the answer it belongs to."""

    start_ms: int
    end_ms: int
    text: str
    confidence: float
    question: int | None = None

    def __post_init__(self) -> None:
        if not self.start_ms <= self.end_ms or not 0.0 <= self.confidence <= 1.0:
            raise DocumentError("a segment's times or confidence are wrong")


def signals_document(pack: str, signals: Iterable[Signal], coverage: Mapping[str, Any]) -> dict[str, Any]:
    """The `signals` document, ordered by time and kind so that equal input gives equal bytes."""
    ordered = sorted(signals, key=lambda s: (s.start_ms, s.kind, s.end_ms, s.value))
    return {
        "version": VERSION,
        "pack": pack,
        "signals": [_rounded(asdict(signal)) for signal in ordered],
        "coverage": dict(coverage),
    }


def transcript_document(pack: str, engine: str, language: str, segments: Iterable[Segment]) -> dict[str, Any]:
    """The `transcript` document."""
    ordered = sorted(segments, key=lambda s: (s.start_ms, s.end_ms))
    entries = [{k: v for k, v in asdict(s).items() if v is not None} for s in ordered]
    return {
        "version": VERSION,
        "language": language,
        "engine": engine,
        "pack": pack,
        "segments": [_rounded(entry) for entry in entries],
    }


def statement(
    text: str, evidence: Iterable[tuple[int, int, str]] = (), **params: float | str
) -> dict[str, Any]:
    """One sentence of a report: its text id, its figures, and the spans that carry it."""
    if STATEMENTS.get(text) != frozenset(params):
        raise DocumentError(f"the statement {text!r} is not known with {sorted(params)}")
    return {"text": text, "params": _rounded(params), "evidence": [list(span) for span in evidence]}


def read_signals(document: Mapping[str, Any]) -> list[Signal]:
    """The signals of a document. Raises DocumentError."""
    _check_version(document)
    try:
        return [Signal(**entry) for entry in document["signals"]]
    except (KeyError, TypeError) as error:
        raise DocumentError(f"not a signals document: {error}") from error


def read_transcript(document: Mapping[str, Any]) -> list[Segment]:
    """The segments of a transcript; fields that only some engines give are left out. Raises DocumentError."""
    _check_version(document)
    known = Segment.__dataclass_fields__
    try:
        return [
            Segment(**{key: value for key, value in entry.items() if key in known})
            for entry in document["segments"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise DocumentError(f"not a transcript: {error}") from error


def _check_version(document: Mapping[str, Any]) -> None:
    if document.get("version") != VERSION:
        raise DocumentError(f"version {document.get('version')!r} is not known")


def _rounded(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in entry.items()}
