"""Faces: counted in real pictures, put together into spans."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from analysis.media import Pictures, sample_pictures
from analysis.vision.faces import FaceCounter, FaceDetector, face_signals


@pytest.fixture(scope="module")
def detector(pack):
    return FaceDetector(pack)


def test_a_face_is_seen_in_at_least_95_percent_of_a_real_recording(detector, real_media):
    counter, pictures = FaceCounter(detector), Pictures()
    with (real_media / "face_and_voice_9s.mp4").open("rb") as clip:
        for at, picture in sample_pictures(clip, 500, pictures):
            counter.add(at, picture)
    print(f"a face in {counter.share:.1%} of {len(counter.counts)} sampled pictures")
    assert len(counter.counts) >= 17
    assert counter.share >= 0.95
    present = [s for s in face_signals(counter, pictures.times_ms[-1], 0) if s.kind == "face_present"]
    assert sum(s.end_ms - s.start_ms for s in present) >= 0.95 * (pictures.times_ms[-1] - counter.times_ms[0])


@pytest.mark.parametrize(("name", "count"), [("group_of_four", 4), ("smiling_480p", 1), ("neutral", 1)])
def test_people_in_a_picture_are_counted(detector, real_media, name, count):
    picture = cv2.cvtColor(cv2.imread(str(real_media / "faces" / f"{name}.jpg")), cv2.COLOR_BGR2RGB)
    faces, best = detector.detect(picture)
    assert len(faces) == count
    assert best == max(face.confidence for face in faces)
    for face in faces:
        left, top, right, bottom = face.box
        assert 0 <= left < right <= picture.shape[1]
        assert 0 <= top < bottom <= picture.shape[0]


def test_walls_and_noise_are_nobody(detector):
    random = np.random.default_rng(0)
    for picture in (
        np.full((360, 640, 3), 128, np.uint8),
        random.integers(0, 256, (360, 640, 3), dtype=np.uint8),
        np.zeros((1, 1, 3), np.uint8),
    ):
        faces, best = detector.detect(picture)
        assert faces == []
        assert best < 0.5


def counted(*counts):
    counter = FaceCounter.__new__(FaceCounter)
    counter.times_ms = [n * 500.0 for n in range(len(counts))]
    counter.counts, counter.confidences = list(counts), [0.9] * len(counts)
    return counter


def test_spans_follow_the_counts_and_a_single_blink_is_ignored():
    signals = face_signals(counted(1, 1, 0, 1, 1, 0, 0, 2, 2), 4500, 1000)
    counts = [(s.start_ms, s.end_ms, s.value) for s in signals if s.kind == "face_count"]
    assert counts == [(1000, 3500, 1), (3500, 4500, 0), (4500, 5500, 2)]
    present = [(s.start_ms, s.end_ms) for s in signals if s.kind == "face_present"]
    assert present == [(1000, 3500), (4500, 5500)]
    assert face_signals(counted(), 1000, 0) == []
