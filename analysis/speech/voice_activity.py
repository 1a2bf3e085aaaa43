"""Where somebody speaks: Silero VAD over 32-ms frames, and the stretches that follow from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..inference import open_session
from ..media import RATE
from ..model_pack import ModelPack

FRAME = 512  # samples, 32 ms
FRAME_MS = 1000 * FRAME / RATE
CONTEXT = 64
BEGIN, END = 0.5, 0.35
SHORTEST_SPEECH_MS = 250
SHORTEST_SILENCE_MS = 300


@dataclass(frozen=True)
class Stretch:
    """Uninterrupted speech, in ms from the track's time zero; confidence is the mean probability."""

    start_ms: float
    end_ms: float
    confidence: float


class VoiceActivity:
    """Feeds on blocks of sound; keeps one probability for each 32 ms."""

    def __init__(self, pack: ModelPack) -> None:
        self._session = open_session(pack.path("silero_vad.onnx"))
        self._state = np.zeros((2, 1, 128), np.float32)
        self._context = np.zeros((1, CONTEXT), np.float32)
        self._rest = np.zeros(0, np.float32)
        self._rate = np.array(RATE, np.int64)
        self.probabilities: list[float] = []

    def add(self, block: np.ndarray) -> None:
        """Take the next samples (16 kHz mono float32, any length)."""
        samples = np.concatenate([self._rest, block])
        whole = len(samples) // FRAME * FRAME
        for start in range(0, whole, FRAME):
            frame = np.concatenate([self._context, samples[None, start : start + FRAME]], axis=1)
            feed = {"input": frame, "state": self._state, "sr": self._rate}
            output, self._state = self._session.run(None, feed)
            self._context = frame[:, -CONTEXT:]
            self.probabilities.append(float(output[0, 0]))
        self._rest = samples[whole:]

    def stretches(self) -> list[Stretch]:
        """Speech found so far."""
        return stretches_of(np.array(self.probabilities))


def stretches_of(probabilities: np.ndarray) -> list[Stretch]:
    """Stretches of speech from one probability a frame: hysteresis, no blips, no holes of a breath."""
    found: list[tuple[int, int]] = []
    start: int | None = None
    for n, probability in enumerate(probabilities):
        if start is None and probability >= BEGIN:
            start = n
        elif start is not None and probability < END:
            found.append((start, n))
            start = None
    if start is not None:
        found.append((start, len(probabilities)))
    merged: list[tuple[int, int]] = []
    for first, past in found:
        if merged and (first - merged[-1][1]) * FRAME_MS < SHORTEST_SILENCE_MS:
            merged[-1] = (merged[-1][0], past)
        else:
            merged.append((first, past))
    return [
        Stretch(first * FRAME_MS, past * FRAME_MS, float(np.mean(probabilities[first:past])))
        for first, past in merged
        if (past - first) * FRAME_MS >= SHORTEST_SPEECH_MS
    ]
