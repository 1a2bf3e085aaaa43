"""Files from which Chromium feeds its fake camera and microphone, made of any clip with PyAV."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

FPS = 25
RATE = 48_000
DEMO_CLIP = Path(__file__).resolve().parents[2] / "webui" / "static" / "demo" / "interview.webm"


@dataclass(frozen=True)
class FakeCamera:
    """A y4m and a wav file of equal length; both loop, so unequal ones would drift apart."""

    picture: Path
    sound: Path
    seconds: float

    @property
    def arguments(self) -> list[str]:
        """What Chromium's command line takes."""
        return [
            f"--use-file-for-fake-video-capture={self.picture}",
            f"--use-file-for-fake-audio-capture={self.sound}",
        ]


def make(
    folder: Path,
    clip: Path = DEMO_CLIP,
    *,
    sound: Path | None = None,
    seconds: float | None = None,
    size: tuple[int, int] = (640, 360),
    lead: float = 0.0,
) -> FakeCamera:
    """Film `clip`, with the sound of `sound` if given, for `seconds` (default: as long as the sound).

    Silence fills what the sound does not: `lead` seconds before it and the rest after it. The picture is
    repeated from its start as often as needed.
    """
    samples = samples_of(sound or clip)
    length = seconds or lead + len(samples) / RATE
    track = np.zeros(round(length * RATE), dtype=np.int16)
    start = round(lead * RATE)
    part = samples[: max(0, len(track) - start)]
    track[start : start + len(part)] = part
    sound_path = folder / "microphone.wav"
    write_sound(sound_path, track)
    picture_path = folder / "camera.y4m"
    _write_picture(picture_path, clip, round(length * FPS), size)
    return FakeCamera(picture_path, sound_path, length)


def write_sound(path: Path, samples: np.ndarray) -> None:
    """A wav file of 16-bit samples at RATE."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())


def samples_of(path: Path) -> np.ndarray:
    """What a clip's microphone heard: 16-bit samples at RATE, none without a sound track."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return np.zeros(0, dtype=np.int16)
        resampler = av.AudioResampler("s16", "mono", RATE)
        parts = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
        parts += resampler.resample(None)
    return np.concatenate([part.to_ndarray()[0] for part in parts]) if parts else np.zeros(0, np.int16)


def _write_picture(path: Path, clip: Path, frames: int, size: tuple[int, int]) -> None:
    width, height = size
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{FPS}:1 Ip A1:1 C420\n".encode())
        written = 0
        while written < frames:
            before = written
            for picture in _pictures(clip, size):
                file.write(b"FRAME\n" + picture)
                written += 1
                if written == frames:
                    return
            if written == before:
                raise ValueError(f"{clip} has no picture")


def _pictures(clip: Path, size: tuple[int, int]):
    """Each frame at FPS as planar 4:2:0 bytes: frames are repeated or left out by their times."""
    width, height = size
    with av.open(str(clip)) as container:
        if not container.streams.video:
            return
        shown = 0
        for frame in container.decode(video=0):
            due = int((frame.time or 0.0) * FPS) + 1
            if due <= shown:
                continue
            planar = frame.reformat(width, height, format="yuv420p").to_ndarray().tobytes()
            while shown < due:
                yield planar
                shown += 1
