"""Long interviews, made fast: a short clip is encoded once as a browser would, its packets then repeat."""

from __future__ import annotations

import hashlib
import io
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from storage.vault import Clock, wire_digest
from tests.support.site import Site

MILLISECOND = Fraction(1, 1000)
# What the room asks of MediaRecorder, at the camera's 720p.
WIDTH, HEIGHT, FPS = 1280, 720, 25
VIDEO_BITS, SOUND_BITS = 1_200_000, 64_000
CHUNK_MS = 2000
DEMO = Path(__file__).parents[2] / "webui/static/demo/interview.webm"


@dataclass(frozen=True)
class Sample:
    """One encoded packet; times in ms from the clip's start."""

    video: bool
    at_ms: int
    length_ms: int
    key: bool
    data: bytes


@dataclass(frozen=True)
class Clip:
    """A clip that may follow itself: it begins with a key frame and ends on a whole picture."""

    samples: tuple[Sample, ...]
    length_ms: int
    source: str


def source() -> Path:
    """The recording of a real person where there is one, else the demo's."""
    folder = Path(os.environ.get("FUPAN_TEST_MEDIA", Path(__file__).parents[3] / "shared/media"))
    real = folder / "face_and_voice_9s.mp4"
    return real if real.exists() else DEMO


def encode(path: Path, video_bits: int = VIDEO_BITS) -> Clip:
    """The clip as VP8 and Opus of the room's size and bit rate (bit/s), by libvpx in real time."""
    sink = av.open(io.BytesIO(), "w", format="webm")
    video, sound = _streams(sink)
    video.bit_rate = video_bits
    resampler = av.AudioResampler("flt", "mono", 48000, 960)
    packets = []
    pictures = heard = 0
    with av.open(str(path)) as clip:
        for frame in clip.decode(video=0, audio=0):
            if isinstance(frame, av.VideoFrame):
                if frame.time < pictures / FPS:
                    continue
                picture = frame.reformat(WIDTH, HEIGHT, "yuv420p")
                picture.pts, picture.time_base = pictures * 1000 // FPS, MILLISECOND
                picture.pict_type = 0
                pictures += 1
                packets += video.encode(picture)
            else:
                frame.pts = None
                for part in resampler.resample(frame):
                    part.pts, part.time_base = heard, Fraction(1, 48000)
                    heard += part.samples
                    packets += sound.encode(part)
    packets += video.encode(None)
    length = pictures * 1000 // FPS
    samples = []
    for packet in packets:
        at = max(0, round(packet.pts * packet.time_base * 1000))
        is_video = packet.stream.type == "video"
        if at + (0 if is_video else 20) <= length and packet.size:
            each = 1000 // FPS if is_video else 20
            samples.append(Sample(is_video, at, each, packet.is_keyframe, bytes(packet)))
    return Clip(tuple(sorted(samples, key=lambda s: s.at_ms)), length, path.name)


def _streams(sink: av.container.OutputContainer) -> tuple[av.VideoStream, av.AudioStream]:
    video = sink.add_stream("libvpx", rate=FPS)
    video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    video.bit_rate, video.gop_size = VIDEO_BITS, FPS * CHUNK_MS // 1000
    video.codec_context.time_base = MILLISECOND
    video.options = {"deadline": "realtime", "cpu-used": "8"}
    sound = sink.add_stream("libopus", rate=48000, layout="mono")
    sound.bit_rate = SOUND_BITS
    return video, sound


def recorded(clip: Clip, seconds: float) -> Iterator[bytes]:
    """The clip again and again as MediaRecorder writes it: live webm, a piece for every two seconds."""
    written = _Pieces()
    with av.open(written, "w", format="webm", options={"live": "1", "cluster_time_limit": "1000"}) as sink:
        streams = _streams(sink)
        due = CHUNK_MS
        for start in range(0, round(seconds * 1000), clip.length_ms):
            for sample in clip.samples:
                at = start + sample.at_ms
                if at >= seconds * 1000:
                    break
                if at >= due:
                    due += CHUNK_MS
                    yield written.take()
                packet = av.Packet(sample.data)
                packet.stream = streams[0] if sample.video else streams[1]
                packet.pts = packet.dts = at
                packet.duration, packet.time_base = sample.length_ms, MILLISECOND
                packet.is_keyframe = sample.key
                sink.mux(packet)
    yield written.take()


class _Pieces:
    """A file that can only be written; `take` gives what came since the last time."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """What was written since."""
        data = b"".join(self._parts)
        self._parts.clear()
        return data


def received(site: Site, clip: Clip, seconds: float, *, analysis: bool) -> tuple[uuid.UUID, int]:
    """A finished interview at intake, pulled but not sealed: its id and the bytes that were recorded.

    The chunks go straight into the journal; ingest has a measurement of its own.
    """
    [recording] = site.invite(f"bench{round(seconds)}")
    site.run_jobs()
    browser = site.begun(recording, analysis=analysis)
    clock = Clock(browser.page.bytes, 1000.0, time.time() * 1000)
    epoch = browser.epoch("camera", clock=clock)
    writer, digests, size = epoch.writer, hashlib.sha256(), 0
    journal = site.intake.application.extensions["fupan_intake"].journal(recording, "camera", 1 << 40)
    opening = writer.opening

    def keep(number: int, flag: int, body: bytes) -> None:
        digest = wire_digest(body)
        digests.update(digest)
        journal.append(opening.epoch, number, flag, opening.raw, body[opening.end :], digest)

    count = 0
    for piece in recorded(clip, seconds):
        if piece:
            number, body = writer.chunk(piece)
            keep(number, 0, body)
            size, count = size + len(piece), count + 1
    number, body = writer.finish(1000.0 + seconds * 1000, clock.wall_ms + seconds * 1000)
    keep(number, 1, body)
    listed = {"track": "camera", "epoch": epoch.id, "chunks": count, "digest": digests.hexdigest()}
    statement = browser.signed("finish", epochs=[listed], at="2026-11-21T06:30:00.000Z")
    status, answer = browser.api("POST", "/finish", json=statement)
    if status != 200:
        raise RuntimeError(f"the interview could not be finished: {status} {answer}")
    site.pull()
    return recording, size
