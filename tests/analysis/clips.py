"""Sound for tests: speech clips as arrays, noise at a known distance, and recordings around them."""

from __future__ import annotations

import io
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE = 16_000


def read_wav(path: Path) -> np.ndarray:
    """Mono 16 kHz samples from -1 to 1."""
    with wave.open(str(path)) as stream:
        assert (stream.getframerate(), stream.getnchannels()) == (RATE, 1)
        data = stream.readframes(stream.getnframes())
    return np.frombuffer(data, np.int16).astype(np.float32) / 32768


def silence(seconds: float) -> np.ndarray:
    """Digital silence."""
    return np.zeros(int(seconds * RATE), np.float32)


def babble(seconds: float, seed: int = 0) -> np.ndarray:
    """Something with the level changes of speech: bursts of a voice-like tone."""
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    voice = sum(np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 12))
    syllables = np.clip(np.sin(2 * np.pi * 4 * time) + 0.3 * random.standard_normal(1), 0, 1)
    return (0.2 * voice * syllables).astype(np.float32)


def sound_file(samples: np.ndarray, *, layout: str = "mono", rate: int = 48_000) -> io.BytesIO:
    """A webm with Opus, as a recorder without a camera would write it."""
    buffer = io.BytesIO()
    resampler = av.AudioResampler("flt", layout, rate, 960)
    with av.open(buffer, "w", format="webm") as output:
        stream = output.add_stream("libopus", rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(piece))
        output.mux(stream.encode(None))
    buffer.seek(0)
    return buffer
