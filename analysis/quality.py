"""Technical quality of picture and sound as signals over spans, and a verdict on the whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from .signals import Signal
from .sound import FRAME_MS, MARGIN_MS, SoundMeasures

SPAN_MS = 10_000
SNR_SPAN_MS = 30_000
SHORTEST_SPEECH_MS = 1000
SHORTEST_NOISE_MS = 500
CLIPPING_WORTH_SAYING = 0.001
SHARPNESS_WIDTH = 320

# What is worth telling a person; below (or above) these a recording is harder to judge.
SLOW_FPS = 12.0
SOFT_SHARPNESS = 20.0
NOISY_DB = 10.0
QUIET_DBFS = -40.0


def sharpness_of(picture: np.ndarray) -> float:
    """Variance of the Laplacian of the brightness at 320 pixels width; higher is sharper."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    height = max(1, round(grey.shape[0] * SHARPNESS_WIDTH / grey.shape[1]))
    grey = cv2.resize(grey, (SHARPNESS_WIDTH, height), interpolation=cv2.INTER_AREA)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def _spans(length_ms: float, step: int) -> Iterable[tuple[int, int]]:
    """Spans of `step`; a short rest belongs to the last."""
    start = 0
    while start < length_ms:
        end = start + step if length_ms - start >= 1.5 * step else int(np.ceil(length_ms))
        yield start, end
        start = end


@dataclass
class PictureQuality:
    """Sharpness and brightness of the sampled pictures, with their times in ms of the track."""

    times_ms: list[float] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)
    brightness: list[float] = field(default_factory=list)

    def add(self, at_ms: float, picture: np.ndarray) -> None:
        """Take one sampled RGB picture."""
        self.times_ms.append(at_ms)
        self.sharpness.append(sharpness_of(picture))
        self.brightness.append(float(picture.mean()))


def frame_rate(times_ms: Sequence[float]) -> float | None:
    """Pictures a second from their own timestamps."""
    if len(times_ms) < 2:
        return None
    ordered = np.sort(np.asarray(times_ms))
    length = ordered[-1] - ordered[0]
    return float((len(ordered) - 1) * 1000 / length) if length > 0 else None


def picture_signals(all_times_ms: Sequence[float], sampled: PictureQuality, shift_ms: int) -> list[Signal]:
    """`fps` and `sharpness` over spans of ten seconds; `shift_ms` from track to recording."""
    if not all_times_ms:
        return []
    times, sampled_times = np.sort(np.asarray(all_times_ms)), np.asarray(sampled.times_ms)
    found = []
    for start, end in _spans(float(times[-1]) + 1, SPAN_MS):
        inside = times[(times >= start) & (times < end)]
        rate = frame_rate(inside.tolist())
        if rate is not None:
            found.append(Signal("fps", start + shift_ms, end + shift_ms, rate, "fps"))
        chosen = (sampled_times >= start) & (sampled_times < end)
        if chosen.any():
            value = float(np.median(np.asarray(sampled.sharpness)[chosen]))
            found.append(Signal("sharpness", start + shift_ms, end + shift_ms, value, "index"))
    return found


@dataclass(frozen=True)
class SpeechMasks:
    """Which 20-ms frames are speech, and which are too near to it to be noise."""

    speech: np.ndarray
    near: np.ndarray

    @classmethod
    def of(cls, sound: SoundMeasures, spans_ms: Sequence[tuple[float, float]]) -> SpeechMasks:
        """From the stretches of speech, in ms of the track. Digital silence is never noise."""
        near = sound.mask(spans_ms, MARGIN_MS) | sound.digital_silence
        return cls(sound.mask(spans_ms), near)


def sound_signals(sound: SoundMeasures, masks: SpeechMasks | None, shift_ms: int) -> list[Signal]:
    """`clipping` everywhere; `level` and `snr` of speech where speech may be looked for (`masks`)."""
    found = []
    frames = np.arange(len(sound.power)) * FRAME_MS
    for start, end in _spans(sound.length_ms, SPAN_MS):
        within = (frames >= start) & (frames < end)
        share = float(np.mean(sound.clipped[within]))
        if share >= CLIPPING_WORTH_SAYING:
            found.append(Signal("clipping", start + shift_ms, end + shift_ms, share, "share"))
        if masks is None:
            continue
        spoken = within & masks.speech
        level = sound.level_dbfs(spoken)
        if level is not None and spoken.sum() * FRAME_MS >= SHORTEST_SPEECH_MS:
            found.append(Signal("level", start + shift_ms, end + shift_ms, level, "dbfs"))
    for start, end in _spans(sound.length_ms, SNR_SPAN_MS) if masks else ():
        within = (frames >= start) & (frames < end)
        value = _snr(sound, masks, within)
        if value is not None:
            found.append(Signal("snr", start + shift_ms, end + shift_ms, value, "dB"))
    return found


def _snr(sound: SoundMeasures, masks: SpeechMasks, within: np.ndarray) -> float | None:
    enough_speech = (masks.speech & within).sum() * FRAME_MS >= SHORTEST_SPEECH_MS
    enough_noise = (~masks.near & within).sum() * FRAME_MS >= SHORTEST_NOISE_MS
    return sound.snr_db(masks.speech, masks.near, within) if enough_speech and enough_noise else None


def quality_summary(
    sound: SoundMeasures | None,
    masks: SpeechMasks | None,
    all_times_ms: Sequence[float],
    sampled: PictureQuality,
    size: tuple[int, int],
) -> dict:
    """Figures of the whole recording and `flags`, the names of what makes it harder to judge."""
    figures: dict[str, float] = {}
    flags: list[str] = []

    def note(name: str, value: float | None, flag: str, *, bad: bool) -> None:
        if value is not None:
            figures[name] = round(value, 4)
            if bad:
                flags.append(flag)

    rate = frame_rate(all_times_ms)
    note("fps", rate, "picture_slow", bad=rate is not None and rate < SLOW_FPS)
    if sampled.sharpness:
        value = float(np.median(sampled.sharpness))
        note("sharpness", value, "picture_soft", bad=value < SOFT_SHARPNESS)
        note("brightness", float(np.median(sampled.brightness)), "", bad=False)
        note("width", size[0], "", bad=False)
        note("height", size[1], "", bad=False)
    if sound is None or sound.is_silent:
        flags.append("no_sound")
    else:
        clipped = float(np.mean(sound.clipped))
        note("clipping_share", clipped, "sound_clipped", bad=clipped >= CLIPPING_WORTH_SAYING)
        if masks is not None:
            level = sound.level_dbfs(masks.speech)
            note("level_dbfs", level, "sound_quiet", bad=level is not None and level < QUIET_DBFS)
            value = _snr(sound, masks, np.ones(len(sound.power), bool))
            note("snr_db", value, "sound_noisy", bad=value is not None and value < NOISY_DB)
    return {"figures": figures, "flags": flags}
