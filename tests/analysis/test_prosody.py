"""Rate and pauses of answers."""

from __future__ import annotations

import pytest

from analysis.prosody import Answer, pause_signals, rate_signals
from analysis.signals import Segment

ANSWERS = [Answer(1, 0, 60_000), Answer(2, 60_000, 120_000)]


def test_a_pause_is_silence_inside_one_answer():
    spoken = [(0, 5000), (5400, 9000), (10_000, 20_000), (61_000, 70_000), (75_000, 80_000)]
    found = pause_signals(spoken, ANSWERS)
    assert [(p.start_ms, p.end_ms, p.value) for p in found] == [(9000, 10_000, 1000), (70_000, 75_000, 5000)]


def test_what_was_not_recorded_is_no_pause():
    assert pause_signals([(0, 1000), (9000, 10_000)], ANSWERS, [(2000, 8000)]) == []


def test_the_rate_counts_words_or_characters_from_first_to_last_including_pauses():
    words = [Segment(0, 3000, "one two three", 0.8), Segment(9000, 10_000, "four five", 0.6)]
    (rate,) = rate_signals(words, ANSWERS, "en")
    assert (rate.value, rate.unit) == (pytest.approx(30), "words_per_minute")
    assert rate.confidence == pytest.approx(0.7)
    characters = [Segment(60_000, 66_000, "我们一起完成了这个项目。", 0.9)]
    (rate,) = rate_signals(characters, ANSWERS, "zh")
    assert (rate.value, rate.unit) == (pytest.approx(110), "characters_per_minute")


def test_a_few_words_have_no_rate():
    assert rate_signals([Segment(0, 900, "yes yes yes", 0.9)], ANSWERS, "en") == []
