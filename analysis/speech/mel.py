"""The log-mel spectrogram that Whisper was trained on."""

from __future__ import annotations

import functools

import numpy as np

from ..media import RATE

BANDS = 80
TRANSFORM = 400
HOP = 160
FRAMES = 3000  # 30 s


@functools.cache
def _filters() -> np.ndarray:
    """Triangular filters on the Slaney mel scale, [bands, frequencies]."""

    def to_mel(hertz: np.ndarray) -> np.ndarray:
        high = 15 + np.log(np.maximum(hertz, 1e-9) / 1000) / (np.log(6.4) / 27)
        return np.where(hertz >= 1000, high, hertz * 3 / 200)

    def to_hertz(mel: np.ndarray) -> np.ndarray:
        return np.where(mel >= 15, 1000 * np.exp(np.log(6.4) / 27 * (mel - 15)), mel * 200 / 3)

    frequencies = np.linspace(0, RATE / 2, TRANSFORM // 2 + 1)
    ends = to_mel(np.array([0.0, RATE / 2]))
    edges = to_hertz(np.linspace(ends[0], ends[1], BANDS + 2))
    widths = np.diff(edges)
    ramps = edges[:, None] - frequencies[None]
    rising, falling = -ramps[:-2] / widths[:-1, None], ramps[2:] / widths[1:, None]
    area = 2 / (edges[2:] - edges[:-2])
    return (np.maximum(0, np.minimum(rising, falling)) * area[:, None]).astype(np.float32)


@functools.cache
def _taper() -> np.ndarray:
    return np.hanning(TRANSFORM + 1)[:-1].astype(np.float32)


def log_mel(samples: np.ndarray) -> np.ndarray:
    """[1, 80, 3000] float32 of up to 30 s of sound; the rest is silence."""
    length = FRAMES * HOP
    samples = np.pad(samples[:length], (0, max(0, length - len(samples))))
    samples = np.pad(samples, TRANSFORM // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(samples, TRANSFORM)[::HOP][:FRAMES]
    power = np.abs(np.fft.rfft(frames * _taper(), axis=1)).astype(np.float32) ** 2
    bands = np.log10(np.maximum(_filters() @ power.T, 1e-10))
    scaled = (np.maximum(bands, bands.max() - 8) + 4) / 4
    return scaled.astype(np.float32)[None]
