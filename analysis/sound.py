"""Measures of the sound itself: loudness, noise, clipping, and the waveform's peaks. numpy only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from .media import RATE

FRAME = RATE // 50  # 20 ms
FRAME_MS = 20
CLIPPED = 0.985
CLIPPED_RUN = 3  # samples in a row at the top of the scale; a single one may be chance
SILENT_DBFS = -60.0
LARGEST_SNR_DB = 60.0
# Frames this close to speech may hold the end of a word: they are neither speech nor noise.
MARGIN_MS = 200
PEAK_RATE = 50
MOST_PAIRS = 4000
MOST_FINE_PAIRS = 200_000
# Digital silence is what fills a gap, not the noise of a room.
DIGITAL_SILENCE = 1e-10


@dataclass
class SoundMeter:
    """Feeds on blocks of sound; keeps a few numbers for each 20 ms."""

    powers: list[np.ndarray] = field(default_factory=list)
    lows: list[np.ndarray] = field(default_factory=list)
    highs: list[np.ndarray] = field(default_factory=list)
    clipped: list[np.ndarray] = field(default_factory=list)
    _rest: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))

    def add(self, block: np.ndarray) -> None:
        """Take the next samples (16 kHz mono float32, any length)."""
        samples = np.concatenate([self._rest, block])
        whole = len(samples) // FRAME * FRAME
        frames = samples[:whole].reshape(-1, FRAME)
        self._rest = samples[whole:]
        if not len(frames):
            return
        self.powers.append(np.mean(frames.astype(np.float64) ** 2, axis=1))
        self.lows.append(frames.min(axis=1))
        self.highs.append(frames.max(axis=1))
        at_top = np.abs(frames) >= CLIPPED
        runs = at_top[:, :-2] & at_top[:, 1:-1] & at_top[:, 2:]
        self.clipped.append(np.where(runs.any(axis=1), at_top.mean(axis=1), 0.0))

    def measures(self) -> SoundMeasures:
        """Everything heard so far."""
        return SoundMeasures(*(_joined(part) for part in (self.powers, self.lows, self.highs, self.clipped)))


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0)


@dataclass(frozen=True)
class SoundMeasures:
    """One number for each 20 ms of a track: mean power, lowest and highest sample, share of clipped ones."""

    power: np.ndarray
    low: np.ndarray
    high: np.ndarray
    clipped: np.ndarray

    @property
    def length_ms(self) -> int:
        """How much sound there was."""
        return len(self.power) * FRAME_MS

    def mask(self, spans_ms: Iterable[tuple[float, float]], margin_ms: float = 0) -> np.ndarray:
        """True for the frames inside `spans_ms`, widened by a margin on both sides."""
        inside = np.zeros(len(self.power), bool)
        for start, end in spans_ms:
            first, past = int((start - margin_ms) // FRAME_MS), int(-(-(end + margin_ms) // FRAME_MS))
            inside[max(0, first) : max(0, past)] = True
        return inside

    def level_dbfs(self, where: np.ndarray) -> float | None:
        """Mean power of the frames where `where` is true, in dB of full scale."""
        return _decibel(float(np.mean(self.power[where]))) if where.any() else None

    def snr_db(self, speech: np.ndarray, near_speech: np.ndarray, within: np.ndarray) -> float | None:
        """How far speech stands over the noise between it, within some frames; None if one is missing.

        `near_speech` is `speech` with its margins. The noise under the speech is taken off the speech.
        """
        spoken = self.power[speech & within]
        noise = self.power[~near_speech & within]
        if not len(spoken) or not len(noise):
            return None
        noise_power = float(np.mean(noise))
        clean = max(float(np.mean(spoken)) - noise_power, 1e-12)
        return min(LARGEST_SNR_DB, _decibel(clean) - _decibel(noise_power))

    @property
    def digital_silence(self) -> np.ndarray:
        """Frames without any sound at all, as they fill gaps."""
        return self.power <= DIGITAL_SILENCE

    @property
    def is_silent(self) -> bool:
        """Whether nothing was heard that a microphone would pick up in a quiet room."""
        return not len(self.power) or _decibel(float(self.power.max())) < SILENT_DBFS

    def peaks(self, start_ms: int) -> dict:
        """The `peaks` document: [min, max, min, max …] from -127 to 127, coarse for the whole, and finer."""
        pairs = np.stack([self.low, self.high], axis=1) if len(self.power) else np.zeros((0, 2))
        return {
            "version": 1,
            "start_ms": start_ms,
            **_reduced(pairs, MOST_PAIRS),
            "finer": _reduced(pairs, MOST_FINE_PAIRS),
        }


def _reduced(pairs: np.ndarray, most: int) -> dict:
    """At most `most` pairs, each the extremes of as many frames as needed."""
    together = max(1, -(-len(pairs) // most))
    padded = np.pad(pairs, ((0, -len(pairs) % together), (0, 0)))
    grouped = padded.reshape(-1, together, 2)
    if not len(grouped):
        return {"rate_hz": float(PEAK_RATE), "peaks": []}
    extremes = np.stack([grouped[:, :, 0].min(axis=1), grouped[:, :, 1].max(axis=1)], axis=1)
    return {"rate_hz": PEAK_RATE / together, "peaks": np.rint(extremes * 127).astype(int).ravel().tolist()}


def _decibel(power: float) -> float:
    return 10 * float(np.log10(max(power, 1e-12)))
