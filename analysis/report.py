"""The report: figures of the whole and a few sentences, each pointing at the seconds that carry it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .signals import Segment, Signal, statement

Span = tuple[int, int, str]
MOST_EVIDENCE = 5
LASTING_MS = 1000  # a shorter sight of a second face may be the detector's mistake
QUOTE = 80


def report_document(
    pack: str,
    duration_ms: int,
    signals: Sequence[Signal],
    segments: Sequence[Segment],
    quality: dict[str, Any],
    missing_ms: Sequence[tuple[int, int]],
    looked: dict[str, bool],
) -> dict[str, Any]:
    """Version 1 of the `report` document. `looked` says which modules ran (`speech`, `face`)."""
    by_kind: dict[str, list[Signal]] = {}
    for signal in signals:
        by_kind.setdefault(signal.kind, []).append(signal)
    statements: list[dict[str, Any]] = []
    if looked["speech"]:
        statements += _speech(by_kind, segments, duration_ms)
    if looked["face"]:
        statements += _faces(by_kind, duration_ms)
    statements += _quality(by_kind, quality)
    if missing_ms:
        seconds = sum(end - start for start, end in missing_ms) / 1000
        statements.append(statement("missing", [(a, b, "") for a, b in missing_ms], seconds=seconds))
    return {
        "version": 1,
        "pack": pack,
        "summary": {"duration_ms": duration_ms, "segments": len(segments), "modules": looked},
        "quality": quality,
        "statements": statements,
    }


def _longest(signals: Iterable[Signal]) -> list[Signal]:
    return sorted(signals, key=lambda s: s.start_ms - s.end_ms)[:MOST_EVIDENCE]


def _spans(signals: Iterable[Signal]) -> list[Span]:
    return [(s.start_ms, s.end_ms, "") for s in sorted(signals, key=lambda s: s.start_ms)]


def _quote(segments: Sequence[Segment], start_ms: int, end_ms: int) -> str:
    """The first words said in a span."""
    said = next((s.text for s in segments if s.start_ms < end_ms and start_ms < s.end_ms), "")
    return said if len(said) <= QUOTE else said[: QUOTE - 1] + "…"


def _total(signals: Iterable[Signal]) -> int:
    return sum(s.end_ms - s.start_ms for s in signals)


def _speech(
    by_kind: dict[str, list[Signal]], segments: Sequence[Segment], duration_ms: int
) -> list[dict[str, Any]]:
    spoken = by_kind.get("speech_activity", [])
    if not spoken:
        return [statement("no_speech")]
    total = _total(spoken)
    evidence = [
        (s.start_ms, s.end_ms, _quote(segments, s.start_ms, s.end_ms))
        for s in sorted(_longest(spoken), key=lambda s: s.start_ms)
    ]
    percent = 100 * total / max(1, duration_ms)
    found = [statement("speech_share", evidence, percent=round(percent, 1), seconds=round(total / 1000, 1))]
    for rate in by_kind.get("speech_rate", []):
        name = "speech_rate_words" if rate.unit == "words_per_minute" else "speech_rate_characters"
        quote = _quote(segments, rate.start_ms, rate.end_ms)
        found.append(statement(name, [(rate.start_ms, rate.end_ms, quote)], rate=round(rate.value)))
    if pauses := by_kind.get("pause"):
        seconds = round(_total(pauses) / 1000, 1)
        found.append(statement("pauses", _spans(_longest(pauses)), count=len(pauses), seconds=seconds))
        longest = _longest(pauses)[0]
        found.append(statement("longest_pause", _spans([longest]), seconds=round(longest.value / 1000, 1)))
    return found


def _faces(by_kind: dict[str, list[Signal]], duration_ms: int) -> list[dict[str, Any]]:
    counts = by_kind.get("face_count", [])
    if not counts:
        return []
    seen = _total(s for s in counts if s.value >= 1)
    percent = round(100 * seen / max(1, _total(counts)), 1)
    found = [statement("face_share", _spans(_longest(by_kind.get("face_present", []))), percent=percent)]
    for name, chosen in (
        ("face_absent", [s for s in counts if s.value == 0]),
        ("several_faces", [s for s in counts if s.value > 1 and s.end_ms - s.start_ms >= LASTING_MS]),
    ):
        if chosen:
            seconds = round(_total(chosen) / 1000, 1)
            found.append(statement(name, _spans(_longest(chosen)), seconds=seconds))
    return found


def _quality(by_kind: dict[str, list[Signal]], quality: dict[str, Any]) -> list[dict[str, Any]]:
    figures, flags = quality["figures"], quality["flags"]
    lowest = {kind: _spans(_worst(by_kind.get(kind, []))) for kind in ("fps", "sharpness", "snr", "level")}
    clipped = _spans(_longest(by_kind.get("clipping", [])))
    known = {
        "no_sound": lambda: statement("no_sound"),
        "picture_slow": lambda: statement("picture_slow", lowest["fps"], fps=figures["fps"]),
        "picture_soft": lambda: statement("picture_soft", lowest["sharpness"], index=figures["sharpness"]),
        "sound_noisy": lambda: statement("sound_noisy", lowest["snr"], db=figures["snr_db"]),
        "sound_quiet": lambda: statement("sound_quiet", lowest["level"], dbfs=figures["level_dbfs"]),
        "sound_clipped": lambda: statement(
            "sound_clipped", clipped, percent=round(100 * figures["clipping_share"], 2)
        ),
    }
    return [known[flag]() for flag in flags]


def _worst(signals: Sequence[Signal]) -> list[Signal]:
    return sorted(signals, key=lambda s: s.value)[:MOST_EVIDENCE]
