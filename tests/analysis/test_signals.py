"""The documents: complete, refusing what they must not hold, the same bytes every time."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.documents import canonical
from analysis.report import report_document
from analysis.signals import (
    KINDS,
    STATEMENTS,
    DocumentError,
    Segment,
    Signal,
    read_signals,
    read_transcript,
    signals_document,
    statement,
    transcript_document,
)

FEELINGS = (
    *("emotion", "mood", "stress", "nervous", "confiden", "sincer", "honest", "lie", "personality", "happy"),
    *("smile", "angry", "attractive", "gender", "age", "ethnic", "accent", "identity", "voiceprint"),
)
a_signal = st.builds(
    lambda kind, start, length, value, sure: Signal(
        kind, start, start + length, value, sorted(KINDS[kind])[0], sure
    ),
    st.sampled_from(sorted(KINDS)),
    st.integers(-10_000, 10**7),
    st.integers(0, 10**6),
    st.floats(-1e6, 1e6),
    st.floats(0, 1),
)


@given(st.lists(a_signal, max_size=20), st.randoms())
def test_signals_survive_their_document_and_order_does_not_change_its_bytes(signals, random):
    document = signals_document("pack", signals, {})
    back = read_signals(document)
    assert {(s.kind, s.start_ms, s.end_ms) for s in back} == {(s.kind, s.start_ms, s.end_ms) for s in signals}
    shuffled = signals[:]
    random.shuffle(shuffled)
    again = signals_document("pack", shuffled, {})
    assert sorted(canonical(s) for s in again["signals"]) == sorted(canonical(s) for s in document["signals"])


def test_no_kind_and_no_statement_names_a_feeling_or_an_identity():
    names = [*KINDS, *STATEMENTS, *(unit for units in KINDS.values() for unit in units)]
    parts = {part for name in names for part in name.split("_")}
    assert not [(part, word) for part in parts for word in FEELINGS if part.startswith(word)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "emotion"},
        {"unit": "percent"},
        {"end_ms": -1},
        {"value": float("nan")},
        {"confidence": 1.5},
    ],
)
def test_a_signal_that_means_nothing_cannot_be_made(wrong):
    right = Signal("pause", 0, 900, 900.0, "ms")
    with pytest.raises(DocumentError):
        dataclasses.replace(right, **wrong)


def test_transcripts_are_read_back_and_later_versions_refused():
    segments = [Segment(0, 10, "二", 0.5, 2), Segment(5, 8, "three", 1.0)]
    document = transcript_document("pack", "engine", "zh", segments)
    assert read_transcript(document) == segments
    for broken in ({**document, "version": 2}, {**document, "segments": [{"text": 1}]}, {"version": 1}):
        with pytest.raises(DocumentError):
            read_transcript(broken)


def test_a_statement_has_exactly_its_figures():
    made = statement("pauses", [(1, 2, "")], count=3, seconds=4.56789)
    assert made == {"text": "pauses", "params": {"count": 3, "seconds": 4.5679}, "evidence": [[1, 2, ""]]}
    for text, params in (("pauses", {"count": 3}), ("charisma", {}), ("no_speech", {"why": 1})):
        with pytest.raises(DocumentError):
            statement(text, **params)


def test_every_sentence_of_a_report_points_at_the_seconds_that_carry_it():
    signals = [
        Signal("speech_activity", 1000, 9000, 1.0, "share"),
        Signal("speech_activity", 12_000, 20_000, 1.0, "share"),
        Signal("pause", 9000, 12_000, 3000, "ms"),
        Signal("speech_rate", 1000, 20_000, 120, "words_per_minute"),
        Signal("face_count", 0, 15_000, 1, "faces"),
        Signal("face_count", 15_000, 18_000, 0, "faces"),
        Signal("face_count", 18_000, 20_000, 2, "faces"),
        Signal("face_count", 20_000, 20_500, 3, "faces"),
        Signal("face_present", 0, 15_000, 1.0, "share"),
        Signal("fps", 0, 20_000, 5.0, "fps"),
    ]
    segments = [Segment(1000, 9000, "words " * 40, 0.9)]
    quality = {"figures": {"fps": 5.0}, "flags": ["picture_slow"]}
    looked = {"speech": True, "face": True}
    report = report_document("p", 20_500, signals, segments, quality, [(3, 9)], looked)
    found = {s["text"]: s for s in report["statements"]}
    assert set(found) == {
        *("speech_share", "speech_rate_words", "pauses", "longest_pause", "face_share", "face_absent"),
        *("several_faces", "picture_slow", "missing"),
    }
    assert all(s["evidence"] for s in report["statements"])
    assert found["several_faces"]["params"] == {"seconds": 2.0}
    assert found["face_share"]["params"] == {"percent": 85.4}
    assert len(found["speech_share"]["evidence"][0][2]) == 80
    silent = report_document("p", 20_500, signals, segments, quality, [], {"speech": False, "face": False})
    assert [s["text"] for s in silent["statements"]] == ["picture_slow"]
