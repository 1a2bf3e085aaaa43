"""The demo's voice, by Flite."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from .script import LINES, PAUSE_MS, READING_MS, REST_MS

RATE = 48_000
VOICE = "slt"
CREDIT = "Flite 2.2 with the voice cmu_us_slt (Carnegie Mellon University, BSD-style licence)"
LOUDNESS = 0.08  # root mean square of the speech, full scale 1


@dataclass(frozen=True)
class Spoken:
    """One answer on the clip's clock, in milliseconds."""

    shown_ms: int
    started_ms: int
    ended_ms: int


def speak() -> tuple[NDArray[np.float32], list[Spoken]]:
    """The whole sound track (mono, RATE samples a second) and when each answer begins and ends."""
    pieces: list[NDArray[np.float32]] = []
    answers: list[Spoken] = []
    for line in LINES:
        shown = _length_ms(pieces)
        pieces.append(_silence(READING_MS))
        started = _length_ms(pieces)
        for number, sentence in enumerate(line.answer):
            if number:
                pieces.append(_silence(PAUSE_MS))
            pieces.append(_sentence(sentence))
        answers.append(Spoken(shown, started, _length_ms(pieces)))
        pieces.append(_silence(REST_MS))
    sound = np.concatenate(pieces)
    room = np.random.default_rng(1).normal(0, 0.0006, len(sound))  # no room is perfectly silent
    return (sound + room).astype(np.float32), answers


def _sentence(text: str) -> NDArray[np.float32]:
    if shutil.which("flite") is None:
        raise SystemExit("flite is needed to make the demo clip (Debian: apt install flite)")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sentence.wav"
        subprocess.run(["flite", "-voice", VOICE, "-t", text, "-o", str(path)], check=True)
        with wave.open(str(path)) as file:
            rate = file.getframerate()
            raw = np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)
    samples = _resample(raw, rate)
    loud = np.abs(samples) > 0.01
    samples = samples[int(np.argmax(loud)) : len(samples) - int(np.argmax(loud[::-1]))]
    return np.clip(samples * LOUDNESS / np.sqrt(np.mean(samples**2)), -0.95, 0.95).astype(np.float32)


def _resample(raw: NDArray[np.int16], rate: int) -> NDArray[np.float32]:
    frame = av.AudioFrame.from_ndarray(raw[None, :], format="s16", layout="mono")
    frame.sample_rate = rate
    resampler = av.AudioResampler("flt", "mono", RATE)
    parts = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([part.to_ndarray()[0] for part in parts]).astype(np.float32)


def _silence(milliseconds: int) -> NDArray[np.float32]:
    return np.zeros(RATE * milliseconds // 1000, dtype=np.float32)


def _length_ms(pieces: list[NDArray[np.float32]]) -> int:
    return round(sum(map(len, pieces)) * 1000 / RATE)
