"""Faces in sampled pictures: BlazeFace (full range), counted; no face is kept, described or compared."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from ..inference import open_session
from ..model_pack import ModelPack
from ..signals import Signal

SIDE = 192
CELLS = 48
SURE_ENOUGH = 0.5
OVERLAP = 0.3


@dataclass(frozen=True)
class Face:
    """Where a face is, in pixels of the picture (left, top, right, bottom), and how sure that is."""

    box: tuple[float, float, float, float]
    confidence: float


def _anchors() -> np.ndarray:
    centres = (np.arange(CELLS) + 0.5) / CELLS
    columns, rows = np.meshgrid(centres, centres)
    return np.stack([columns.ravel(), rows.ravel()], axis=1)


class FaceDetector:
    """One loaded model."""

    def __init__(self, pack: ModelPack) -> None:
        self._session = open_session(pack.path("face/detector.onnx"))
        self._input = self._session.get_inputs()[0].name
        self._anchors = _anchors()

    def detect(self, picture: np.ndarray) -> tuple[list[Face], float]:
        """Faces in an RGB picture [height, width, 3] uint8, the surest first; and the best score anywhere."""
        height, width = picture.shape[:2]
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        square = cv2.copyMakeBorder(
            picture, top, side - height - top, left, side - width - left, cv2.BORDER_CONSTANT
        )
        small = cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        rows = self._session.run(None, {self._input: small[None].astype(np.float32) / 127.5 - 1})[0][0]
        scores = 1 / (1 + np.exp(-np.clip(rows[:, 0], -50, 50)))
        faces = []
        for n in np.flatnonzero(scores >= SURE_ENOUGH):
            x, y = self._anchors[n] + rows[n, 1:3] / SIDE
            wide, high = rows[n, 3:5] / SIDE
            box = np.array([x - wide / 2, y - high / 2, x + wide / 2, y + high / 2]) * side
            shifted = box - [left, top, left, top]
            faces.append(Face(tuple(float(edge) for edge in shifted), float(scores[n])))
        return _distinct(faces), float(scores.max())


def _distinct(faces: list[Face]) -> list[Face]:
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.confidence):
        if all(_overlap(face.box, other.box) < OVERLAP for other in kept):
            kept.append(face)
    return kept


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Intersection over union."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, wide) * max(0.0, high)
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / both if both > 0 else 0.0


@dataclass
class FaceCounter:
    """How many faces each sampled picture showed; times in ms of the track."""

    detector: FaceDetector
    times_ms: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    confidences: list[float] = field(default_factory=list)

    def add(self, at_ms: float, picture: np.ndarray) -> None:
        """Look at one sampled picture."""
        faces, best = self.detector.detect(picture)
        self.times_ms.append(at_ms)
        self.counts.append(len(faces))
        self.confidences.append(best if faces else 1.0 - best)

    @property
    def share(self) -> float | None:
        """Share of the sampled pictures with at least one face."""
        return sum(count > 0 for count in self.counts) / len(self.counts) if self.counts else None


def face_signals(counter: FaceCounter, end_ms: float, shift_ms: int) -> list[Signal]:
    """`face_count` and `face_present` over the stretches in which they do not change.

    A picture stands for the time to the next sample; `end_ms` is the end of the track.
    """
    if not counter.counts:
        return []
    counts = _smooth(counter.counts)
    edges = [*counter.times_ms, max(end_ms, counter.times_ms[-1])]
    found = []
    for first, past in _runs(counts):
        start, end = round(edges[first]) + shift_ms, round(edges[past]) + shift_ms
        sure = _mean(counter.confidences[first:past])
        found.append(Signal("face_count", start, end, counts[first], "faces", sure))
    for first, past in _runs([min(count, 1) for count in counts]):
        if counts[first]:
            start, end = round(edges[first]) + shift_ms, round(edges[past]) + shift_ms
            sure = _mean(counter.confidences[first:past])
            found.append(Signal("face_present", start, end, 1.0, "share", sure))
    return found


def _mean(confidences: Sequence[float]) -> float:
    return min(1.0, float(np.mean(confidences)))


def _smooth(counts: Sequence[int]) -> list[int]:
    """Take out single samples that differ from two equal neighbours."""
    smoothed = list(counts)
    for n in range(1, len(counts) - 1):
        if counts[n - 1] == counts[n + 1] != counts[n]:
            smoothed[n] = counts[n - 1]
    return smoothed


def _runs(values: Sequence[int]) -> list[tuple[int, int]]:
    """(first, past) of each stretch of equal values."""
    edges = [0, *(n for n in range(1, len(values)) if values[n] != values[n - 1]), len(values)]
    return list(itertools.pairwise(edges))
