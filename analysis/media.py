"""Sound and picture out of a sealed track, piece by piece; memory does not grow with the recording."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import InputContainer
from av.stream import Stream

from .container import media_streams, open_input
from .errors import MediaError

RATE = 16_000  # samples a second, mono, float32 from -1 to 1
BLOCK = RATE
# A jump in the sound's own clock longer than this is a hole; less is jitter.
HOLE_SAMPLES = RATE // 20
LONGEST_SAMPLES = 12 * 3600 * RATE
LARGEST_PICTURE = 4096 * 4096
WIDTH = 640


@dataclass
class Damage:
    """What could not be decoded."""

    packets: int = 0
    cut_short: bool = False


def _stream(container: InputContainer, kind: str) -> Stream | None:
    return next((stream for stream in media_streams(container) if stream.type == kind), None)


def has_stream(file: IO[bytes], kind: str) -> bool:
    """Whether a track has `video` or `audio` that is read here."""
    file.seek(0)
    with open_input(file) as container:
        return _stream(container, kind) is not None


class _Line:
    """Puts decoded sound on one continuous line of samples, silence where there is a hole."""

    def __init__(self) -> None:
        self.position = 0  # samples given out so far
        self._waiting: list[np.ndarray] = []
        self._count = 0

    def silence_until(self, position: int) -> Iterator[np.ndarray]:
        while self.position + self._count < min(position, LONGEST_SAMPLES):
            missing = min(position - self.position - self._count, BLOCK)
            yield from self.add(np.zeros(missing, np.float32))

    def add(self, samples: np.ndarray) -> Iterator[np.ndarray]:
        self._waiting.append(samples)
        self._count += len(samples)
        if self._count >= BLOCK:
            yield self.flush()

    def flush(self) -> np.ndarray:
        whole = np.concatenate(self._waiting) if self._waiting else np.zeros(0, np.float32)
        self.position += len(whole)
        self._waiting, self._count = [], 0
        return whole

    @property
    def end(self) -> int:
        return self.position + self._count


def decode_sound(file: IO[bytes], damage: Damage | None = None) -> Iterator[np.ndarray]:
    """The sound of a track from its time zero, 16 kHz mono float32, in blocks of about a second.

    Raises MediaError when the track cannot be opened or has no sound; damaged packets become silence.
    """
    damage = damage or Damage()
    file.seek(0)
    with open_input(file) as container:
        stream = _stream(container, "audio")
        if stream is None:
            raise MediaError("no_sound", "the track has no sound")
        line, resampler = _Line(), _resampler()
        for frame in _frames(container, stream, damage):
            at = line.end if frame.time is None else round(frame.time * RATE)
            if at - line.end > HOLE_SAMPLES:
                yield from line.silence_until(at)
            elif line.end - at > HOLE_SAMPLES + RATE * frame.samples // max(1, frame.sample_rate):
                continue  # already given out: an overlap of a damaged file
            for samples in _resample(resampler, frame, damage):
                yield from line.add(samples)
        yield line.flush()


def _resampler() -> AudioResampler:
    return AudioResampler(format="flt", layout="mono", rate=RATE)


def _resample(resampler: AudioResampler, frame: AudioFrame, damage: Damage) -> Iterator[np.ndarray]:
    frame.pts = None  # the line keeps the time; the resampler only counts samples
    try:
        for piece in resampler.resample(frame):
            samples = piece.to_ndarray()[0]
            yield np.nan_to_num(np.clip(samples, -1.0, 1.0)).astype(np.float32, copy=False)
    except (av.FFmpegError, ValueError):  # the format changed in the middle of a damaged file
        damage.packets += 1


def _frames(container: InputContainer, stream: Stream, damage: Damage) -> Iterator:
    """Decoded frames; a damaged packet is counted and left out."""
    try:
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except (av.FFmpegError, ValueError):
                damage.packets += 1
    except (av.FFmpegError, ValueError, OverflowError):
        damage.cut_short = True


@dataclass
class Pictures:
    """What a walk through the pictures left behind: the time of every one, in ms of the track."""

    times_ms: list[float] = field(default_factory=list)
    width: int = 0
    height: int = 0
    damage: Damage = field(default_factory=Damage)


def sample_pictures(
    file: IO[bytes], every_ms: float, pictures: Pictures
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield (time in ms, RGB picture uint8 [height, width, 3], at most 640 wide) about every `every_ms`.

    Every picture is decoded, since each builds on the last; only the sampled ones are converted. Raises
    MediaError: `no_picture`, `picture_too_large`.
    """
    file.seek(0)
    with open_input(file) as container:
        stream = _stream(container, "video")
        if stream is None:
            raise MediaError("no_picture", "the track has no picture")
        context = stream.codec_context
        if context.width * context.height > LARGEST_PICTURE:
            raise MediaError("picture_too_large", "the picture is larger than any camera's")
        stream.thread_type = "AUTO"
        context.thread_count = 2
        pictures.width, pictures.height = context.width, context.height
        first: float | None = None
        sampled = -1
        for frame in _frames(container, stream, pictures.damage):
            if frame.time is None or frame.width * frame.height > LARGEST_PICTURE:
                continue
            at = frame.time * 1000
            pictures.times_ms.append(at)
            first = at if first is None else first
            if int((at - first) // every_ms) <= sampled:
                continue
            sampled = int((at - first) // every_ms)
            yield at, _picture(frame)


def _picture(frame: av.VideoFrame) -> np.ndarray:
    width = min(WIDTH, frame.width)
    height = max(1, round(frame.height * width / frame.width))
    return frame.to_ndarray(format="rgb24", width=width, height=height)
