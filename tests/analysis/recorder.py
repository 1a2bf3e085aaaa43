"""A browser's recorder without a browser: media like MediaRecorder's, cut in chunks and sealed."""

from __future__ import annotations

import base64
import functools
import io
import json
import os
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from storage.vault import (
    EVENTS_MIME,
    Clock,
    EpochWriter,
    Journal,
    SealedReader,
    build_opening,
    derive_file_key,
    new_browser_key,
    new_day_key,
    new_header,
    new_key,
    parse_opening,
    wire_digest,
)

WALL = 1_790_000_000_000.0


@functools.cache
def webm(
    seconds: float = 4.0,
    *,
    fps: int = 10,
    codec: str = "libvpx",
    size: tuple[int, int] = (160, 120),
    sound: bool = True,
    tone: float = 440.0,
    container: str = "webm",
    key_every: int = 10,
    colour: int = 0,
    bits: int = 200_000,
) -> bytes:
    """A recording as MediaRecorder writes one: live, without duration and index. Above 200 kbit/s the picture
    is noisy, so that it needs them."""
    buffer = io.BytesIO()
    options = {"live": "1"} if container == "webm" else {"movflags": "frag_keyframe+empty_moov"}
    with av.open(buffer, "w", format=container, options=options) as output:
        video = output.add_stream(codec, rate=fps)
        video.width, video.height = size
        video.pix_fmt, video.gop_size, video.bit_rate = "yuv420p", key_every, bits
        video.codec_context.time_base = Fraction(1, 1000)
        if codec == "libvpx":
            video.options = {"deadline": "realtime", "cpu-used": "8"}
        audio = output.add_stream("libopus", rate=48000, layout="mono") if sound else None
        packets, noise = [], np.random.default_rng(7)
        for n in range(int(seconds * fps)):
            shade = (colour + n * 3) % 256
            picture = np.full((size[1], size[0], 3), shade, np.uint8)
            picture[: size[1] // 2, : size[0] // 2] = 255 - shade
            if bits > 200_000:
                picture ^= noise.integers(0, 64, picture.shape, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = int(n * 1000 / fps), Fraction(1, 1000)
            packets += video.encode(frame)
        packets += video.encode(None)
        if audio is not None:
            wave = 0.3 * np.sin(2 * np.pi * tone * np.arange(int(seconds * 48000)) / 48000)
            for start in range(0, len(wave), 960):
                frame = av.AudioFrame.from_ndarray(
                    wave[None, start : start + 960].astype(np.float32), format="flt", layout="mono"
                )
                frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
                packets += audio.encode(frame)
            packets += audio.encode(None)
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            output.mux(packet)
    return buffer.getvalue()


def pieces(data: bytes, count: int) -> list[bytes]:
    """`data` in about `count` chunks."""
    step = -(-len(data) // count)
    return [data[start : start + step] for start in range(0, len(data), step)]


@dataclass
class Recorder:
    """Seals epochs of one recording into journals under a folder, and asks the child to make tracks."""

    folder: Path
    vault_id: uuid.UUID = field(default_factory=uuid.uuid4)
    recording_id: uuid.UUID = field(default_factory=uuid.uuid4)
    entries: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    outputs: dict[str, tuple[Path, bytes]] = field(default_factory=dict)
    descriptors: list[int] = field(default_factory=list)
    recording_key: bytes = field(default_factory=new_key)

    def __post_init__(self) -> None:
        self.browser_key = new_browser_key()
        _private, self.day_public = new_day_key()
        self.page = os.urandom(16)

    def epoch(
        self,
        track: str,
        chunks: list[bytes],
        *,
        start_ms: float = 1000.0,
        wall_ms: float | None = None,
        length_ms: float | None = None,
        page: bytes | None = None,
        mime: str = "video/webm;codecs=vp8,opus",
        leave_out: tuple[int, ...] = (),
        with_key: bool = True,
    ) -> str:
        """Seal one epoch; `leave_out` chunks never arrive. Returns its id."""
        clock = Clock(page or self.page, start_ms, WALL + start_ms if wall_ms is None else wall_ms)
        opening, key = build_opening(
            vault_id=self.vault_id,
            recording_id=self.recording_id,
            track=track,
            day_key_id="day",
            recipients={"day": self.day_public},
            browser_key=self.browser_key,
            mime=mime,
            clock=clock,
        )
        writer = EpochWriter(opening, key)
        journal = Journal(self.folder / f"{track}.journal")
        bodies = [(*writer.chunk(chunk), 0) for chunk in chunks]
        if length_ms is not None:
            bodies.append((*writer.finish(start_ms + length_ms, clock.wall_ms + length_ms), 1))
        for n, body, flag in bodies:
            if n in leave_out and not flag:
                continue
            ciphertext = body[parse_opening(body).end :]
            journal.append(opening.epoch, n, flag, opening.raw, ciphertext, wire_digest(body))
        entry: dict[str, Any] = {"opening": _b64(opening.raw), "journal_fd": self._open(f"{track}.journal")}
        if with_key:
            entry["key"] = _b64(key)
        self.entries.setdefault(track, []).append(entry)
        return opening.epoch.hex()

    def events(self, events: list[dict[str, Any]], **more: Any) -> str:
        """Seal an events epoch, two events a chunk."""
        lists = [events[start : start + 2] for start in range(0, len(events), 2)]
        chunks = [json.dumps(some).encode() for some in lists]
        return self.epoch("events", chunks, mime=EVENTS_MIME, **more)

    def output(self, kind: str, name: str) -> dict[str, Any]:
        """A new sealed file to be written by the child."""
        path = self.folder / f"{name}.fps"
        header = new_header(self.vault_id, self.recording_id, kind, name)
        key = derive_file_key(self.recording_key, header)
        self.outputs[name] = (path, key)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        self.descriptors.append(fd)
        return {"out_fd": fd, "header": _b64(header.raw), "out_key": _b64(key)}

    def remux_request(self) -> dict[str, Any]:
        """The request for every track sealed so far."""
        tracks = [
            {
                "name": name,
                "kind": name,
                "epochs": epochs,
                "head": self.output("document", f"{name}.head"),
                **self.output("track", name),
            }
            for name, epochs in self.entries.items()
            if name != "events"
        ]
        events = {"epochs": self.entries.get("events", []), **self.output("document", "timeline")}
        return {"mode": "remux", "tracks": tracks, "events": [events]}

    def sealed(self, name: str) -> bytes:
        """The plaintext of a file that the child wrote."""
        path, key = self.outputs[name]
        with SealedReader(path, key) as reader:
            return reader.read()

    def document(self, name: str) -> dict[str, Any]:
        """A sealed document that the child wrote."""
        return json.loads(self.sealed(name))

    def _open(self, name: str) -> int:
        fd = os.open(self.folder / name, os.O_RDONLY)
        self.descriptors.append(fd)
        return fd

    def close(self) -> None:
        """Close every descriptor handed out."""
        for fd in self.descriptors:
            os.close(fd)
        self.descriptors.clear()


def run_child(
    request: dict[str, Any],
    descriptors: list[int],
    timeout: float = 120,
    arguments: tuple[str, ...] | None = None,
) -> dict[str, Any]:
    """Run `python -m analysis` as the product does; the last line it says, with its exit code and stages.
    `arguments` None names the request's pack, as the product does."""
    named = (request["pack"],) if "pack" in request else ()
    done = subprocess.run(
        [sys.executable, "-m", "analysis", str(os.getpid()), *(named if arguments is None else arguments)],
        input=json.dumps(request).encode() + b"\n",
        capture_output=True,
        pass_fds=tuple(descriptors),
        timeout=timeout,
        cwd=Path(__file__).parents[2],
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines, done.stderr.decode()
    return lines[-1] | {
        "exit": done.returncode,
        "stages": [line["stage"] for line in lines if "stage" in line],
        "stderr": done.stderr.decode(),
    }


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
