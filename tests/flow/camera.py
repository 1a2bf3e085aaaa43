"""The candidate's fake devices: a real face, and a microphone that hums, pauses, speaks once, is silent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from tests.support import fake_camera
from tests.support.fake_camera import RATE, FakeCamera

HUM_SECONDS = 4.0  # what the level meter of the check hears; no voice
SILENCE_AFTER = 90.0  # nothing is heard twice: the file is longer than any sitting


@dataclass(frozen=True)
class Devices(FakeCamera):
    """What the candidate's browser sees and hears; speech lies between the two moments, in seconds from when
    the camera opens."""

    speech_from: float
    speech_to: float


def devices(folder: Path, person: Path, speech: Sequence[Path], lead: float, pause: float = 1.0) -> Devices:
    """`person` filmed over and over; each file of `speech` once, from `lead` seconds on, `pause` between."""
    folder.mkdir(parents=True, exist_ok=True)
    filmed = fake_camera.make(folder, person, seconds=_seconds(person))
    time = np.arange(round(HUM_SECONDS * RATE)) / RATE
    parts = [np.round(3000 * np.sin(2 * np.pi * 180 * time)).astype(np.int16)]
    parts.append(np.zeros(round((lead - HUM_SECONDS) * RATE), np.int16))
    for number, path in enumerate(speech):
        parts += [np.zeros(round(pause * RATE), np.int16)] * (number > 0) + [fake_camera.samples_of(path)]
    spoken = sum(len(part) for part in parts) / RATE
    parts.append(np.zeros(round(SILENCE_AFTER * RATE), np.int16))
    heard = folder / "speech.wav"
    fake_camera.write_sound(heard, np.concatenate(parts))
    return Devices(filmed.picture, heard, filmed.seconds, lead, spoken)


def _seconds(path: Path) -> float:
    with av.open(str(path)) as container:
        return (container.duration or 0) / 1_000_000
