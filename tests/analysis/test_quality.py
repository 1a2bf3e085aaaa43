"""Measures against a known truth: noise within 3 dB, frame rate, sharpness, clipping, silence, peaks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from analysis.quality import (
    PictureQuality,
    SpeechMasks,
    frame_rate,
    picture_signals,
    quality_summary,
    sharpness_of,
    sound_signals,
)
from analysis.sound import SoundMeter

from .clips import RATE, babble, silence

NO_PICTURES = ([], PictureQuality(), (0, 0))


def measured(samples, step=5000):
    meter = SoundMeter()
    for start in range(0, len(samples), step):
        meter.add(samples[start : start + step])
    return meter.measures()


@pytest.mark.parametrize("truth_db", [0, 5, 10, 20, 30, 40])
@pytest.mark.parametrize("level", [0.05, 0.3])
def test_voice_over_noise_is_within_3_db_of_the_truth(truth_db, level):
    random = np.random.default_rng(truth_db)
    voice = level * babble(4) / np.abs(babble(4)).max()
    power = np.mean(voice.astype(np.float64) ** 2)
    spans, parts = [], []
    for _ in range(4):
        at = sum(map(len, parts)) / RATE * 1000
        spans.append((at, at + 4000))
        parts += [voice, silence(1.5)]
    clean = np.concatenate(parts)
    noise = random.normal(0, np.sqrt(power / 10 ** (truth_db / 10)), len(clean))
    sound = measured((clean + noise).astype(np.float32))
    masks = SpeechMasks.of(sound, spans)
    found = [s.value for s in sound_signals(sound, masks, 0) if s.kind == "snr"]
    assert found == [pytest.approx(truth_db, abs=3)]
    summary = quality_summary(sound, masks, *NO_PICTURES)
    assert summary["figures"]["snr_db"] == pytest.approx(truth_db, abs=3)
    assert ("sound_noisy" in summary["flags"]) == (summary["figures"]["snr_db"] < 10)


def test_no_noise_to_measure_gives_no_figure():
    sound = measured(babble(5))
    masks = SpeechMasks.of(sound, [(0, 5000)])
    assert not [s for s in sound_signals(sound, masks, 0) if s.kind == "snr"]


def test_the_silence_that_fills_a_gap_is_not_taken_for_a_quiet_room():
    random = np.random.default_rng(1)
    noisy = np.concatenate([babble(4), silence(2)]) + random.normal(0, 0.02, 6 * RATE)
    sound = measured(np.concatenate([noisy, silence(20)]).astype(np.float32))
    masks = SpeechMasks.of(sound, [(0, 4000)])
    power = np.mean(babble(4).astype(np.float64) ** 2)
    truth = 10 * np.log10(power / 0.02**2)
    assert quality_summary(sound, masks, *NO_PICTURES)["figures"]["snr_db"] == pytest.approx(truth, abs=3)


def test_overdriven_sound_is_told_from_loud_sound():
    loud = 0.97 * babble(20) / np.abs(babble(20)).max()
    assert not [s for s in sound_signals(measured(loud), None, 0) if s.kind == "clipping"]
    driven = np.clip(4 * loud, -1, 1)
    driven[: 10 * RATE] = loud[: 10 * RATE]
    (signal,) = [s for s in sound_signals(measured(driven), None, 500) if s.kind == "clipping"]
    assert (signal.start_ms, signal.end_ms) == (10_500, 20_500)
    assert "sound_clipped" in quality_summary(measured(driven), None, *NO_PICTURES)["flags"]


def test_a_dead_microphone_is_named():
    assert quality_summary(measured(silence(5)), None, *NO_PICTURES)["flags"] == ["no_sound"]
    assert quality_summary(None, None, *NO_PICTURES)["flags"] == ["no_sound"]
    assert "no_sound" not in quality_summary(measured(babble(2)), None, *NO_PICTURES)["flags"]


def test_without_leave_to_look_for_speech_nothing_is_said_of_it():
    kinds = {signal.kind for signal in sound_signals(measured(babble(20)), None, 0)}
    assert kinds <= {"clipping"}


def test_the_frame_rate_comes_from_the_timestamps():
    assert frame_rate([n * 40.0 for n in range(50)]) == pytest.approx(25)
    assert frame_rate([5.0]) is None
    times = [n * 40.0 for n in range(250)] + [10_000 + n * 200.0 for n in range(50)]
    signals = [s for s in picture_signals(times, PictureQuality(), 0) if s.kind == "fps"]
    assert [round(s.value) for s in signals] == [25, 5]
    assert "picture_slow" in quality_summary(None, None, times[250:], PictureQuality(), (64, 48))["flags"]


def test_a_blurred_picture_is_less_sharp_at_any_size():
    random = np.random.default_rng(2)
    coarse = random.integers(0, 256, (45, 80), dtype=np.uint8)
    picture = cv2.resize(coarse, (640, 360), interpolation=cv2.INTER_NEAREST)
    picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
    blurred = cv2.GaussianBlur(picture, (0, 0), 12)
    assert sharpness_of(picture) > 20 > sharpness_of(blurred)
    small = cv2.resize(picture, (320, 180), interpolation=cv2.INTER_AREA)
    assert sharpness_of(small) == pytest.approx(sharpness_of(picture), rel=0.1)


def test_peaks_show_where_it_was_loud_and_stay_few():
    samples = np.concatenate([silence(60), babble(60), silence(60)])
    document = measured(samples).peaks(start_ms=700)
    pairs = np.array(document["peaks"]).reshape(-1, 2)
    assert document["start_ms"] == 700
    assert len(pairs) <= 4000
    assert len(pairs) / document["rate_hz"] == pytest.approx(180, abs=0.2)
    loud = np.flatnonzero(pairs[:, 1] > 5) / document["rate_hz"]
    assert (loud[0], loud[-1]) == (pytest.approx(60, abs=0.5), pytest.approx(120, abs=0.5))
    assert (pairs[:, 0] <= pairs[:, 1]).all()
    assert np.abs(pairs).max() <= 127
    assert document["finer"]["rate_hz"] == 50
    assert measured(silence(0)).peaks(0)["peaks"] == []
