"""Puts picture and sound of the demo into one WebM file, as a browser's recorder would: VP8 and Opus."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from .person import HEIGHT, WIDTH, Person, Pose
from .voice import RATE

FPS = 25
KEY_FRAME_SECONDS = 2
VIDEO_BITS, SOUND_BITS = 180_000, 40_000
SOUND_FRAME = 960  # 20 ms, Opus' own
BLINK = (0.4, 1.0, 0.8, 0.3)  # four frames
LOUD = 0.13  # level at which the mouth is wide open


def mouths(sound: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far the mouth is open in each frame, 0 to 1, following the level of the voice."""
    step = RATE // FPS
    frames = len(sound) // step
    level = np.sqrt(np.mean(sound[: frames * step].reshape(frames, step) ** 2, axis=1))
    opened = np.clip((level - 0.01) / LOUD, 0, 1)
    return np.convolve(opened, [0.25, 0.5, 0.25], mode="same")


def poses(sound: NDArray[np.float32]) -> list[Pose]:
    """One pose for each frame: the head drifts slowly and nods a little with the voice."""
    random = np.random.default_rng(7)
    opened = mouths(sound)
    blinks = np.zeros(len(opened))
    at = 30
    while at + len(BLINK) < len(blinks):
        blinks[at : at + len(BLINK)] = BLINK
        at += int(random.integers(55, 120))
    made = []
    for number, (mouth, blink) in enumerate(zip(opened, blinks, strict=True)):
        t = number / FPS
        made.append(
            Pose(
                mouth=float(mouth),
                blink=float(blink),
                x=4 * math.sin(0.53 * t) + 1.5 * math.sin(1.7 * t),
                y=1.5 * math.sin(0.9 * t) + 2 * float(mouth),
                tilt=1.1 * math.sin(0.41 * t + 1),
            )
        )
    return made


def write(path: Path, sound: NDArray[np.float32]) -> int:
    """Encode into `path`; returns the duration in milliseconds. The same input gives the same bytes."""
    person = Person()
    with av.open(str(path), "w", format="webm", container_options={"fflags": "+bitexact"}) as container:
        picture = container.add_stream("libvpx", rate=FPS)
        picture.width, picture.height, picture.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        picture.bit_rate, picture.gop_size = VIDEO_BITS, FPS * KEY_FRAME_SECONDS
        picture.codec_context.thread_count = 1
        picture.options = {"deadline": "good", "cpu-used": "2", "flags": "+bitexact"}
        voice = container.add_stream("libopus", rate=RATE)
        voice.layout, voice.bit_rate = "mono", SOUND_BITS
        voice.options = {"flags": "+bitexact"}
        frames = poses(sound)
        step = RATE // FPS
        sent = 0
        for number, pose in enumerate(frames):
            drawn = av.VideoFrame.from_ndarray(person.draw(pose), format="rgb24")
            drawn.pts, drawn.time_base = number, Fraction(1, FPS)
            container.mux(picture.encode(drawn))
            while sent + SOUND_FRAME <= (number + 1) * step:
                container.mux(voice.encode(_sound_frame(sound, sent)))
                sent += SOUND_FRAME
        container.mux(picture.encode(None))
        container.mux(voice.encode(None))
    return len(frames) * 1000 // FPS


def _sound_frame(sound: NDArray[np.float32], start: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(sound[None, start : start + SOUND_FRAME], format="flt", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
    return frame
