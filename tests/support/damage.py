"""A sealed track, damaged on purpose and repaired: what is lost of it, sample by sample."""

from __future__ import annotations

import base64
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from analysis.repair import repair_track
from analysis.seal_tracks import seal_tracks
from storage.vault import parse_header
from tests.analysis.recorder import Recorder

STORED = 65536 + 16
SILENCE = bytes.fromhex("f8fffe")


@dataclass(frozen=True)
class Sample:
    """One packet of a track; times in ms of the track, `pos` and `size` in bytes of its plaintext."""

    stream: int
    kind: str
    at: float
    length: float
    data: bytes
    pos: int
    key: bool

    @property
    def name(self) -> tuple[int, int]:
        """Which of all samples it is."""
        return self.stream, round(self.at)


def samples(media: bytes) -> list[Sample]:
    """Every packet of a file, in its order."""
    found = []
    with av.open(io.BytesIO(media)) as container:
        for packet in container.demux():
            if packet.size:
                ms = float(packet.time_base * 1000)
                found.append(
                    Sample(
                        packet.stream_index,
                        packet.stream.type,
                        packet.pts * ms,
                        (packet.duration or 0) * ms,
                        bytes(packet),
                        packet.pos,
                        packet.is_keyframe,
                    )
                )
    return found


def flip(path: Path, *offsets: int) -> None:
    """Change one bit at each of these places of a file."""
    with path.open("r+b") as file:
        for offset in offsets:
            file.seek(offset)
            [byte] = file.read(1)
            file.seek(offset)
            file.write(bytes([byte ^ 1]))


def flip_segments(path: Path, *segments: int) -> None:
    """Change one bit in each of these segments of a sealed file."""
    start = len(parse_header(path.read_bytes()[:256]).raw)
    flip(path, *(start + number * STORED + 3 for number in segments))


class Sealed:
    """A recording's camera as the seal leaves it, in the recorder's folder."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        result = seal_tracks(recorder.remux_request(), lambda *_: None)
        self.described = result["tracks"][0]
        self.path = recorder.outputs["camera"][0]
        self.whole = self.path.read_bytes()
        self.samples = samples(recorder.sealed("camera"))
        self.segments = -(-self.described["bytes"] // 65536)

    def mend(self) -> None:
        """Undo every damage."""
        self.path.write_bytes(self.whole)

    def request(self, *, head: bool = True, timeline: bool = True) -> dict[str, Any]:
        """The request that repairs the camera."""
        made, track = self.recorder, self.described
        entry = {
            "name": "camera",
            "start_ms": track["start_ms"],
            "duration_ms": track["duration_ms"],
            "salvage_head": self._input("camera.head") if head else None,
            "head": made.output("document", "camera.r1.head"),
            **self._input("camera"),
            **made.output("track", "camera.r1"),
        }
        amended = self._input("timeline") | made.output("document", "timeline.v2")
        return {"mode": "repair", "track": entry, "timeline": amended if timeline else None}

    def repaired(self, **options: bool) -> dict[str, Any]:
        """Repair it in this process; the child's result."""
        return repair_track(self.request(**options), lambda *_: None)

    def _input(self, name: str) -> dict[str, Any]:
        path, key = self.recorder.outputs[name]
        fd = os.open(path, os.O_RDONLY)
        self.recorder.descriptors.append(fd)
        return {"fd": fd, "key": base64.b64encode(key).decode()}


@dataclass(frozen=True)
class Lost:
    """What one repair cost: the samples that are gone, those that are not as they were, the named gaps."""

    samples: list[Sample]
    altered: list[Sample]
    gaps: list[tuple[int, int]]


def lost(sealed: Sealed, result: dict[str, Any]) -> Lost:
    """Compare the repaired track with the one that was damaged."""
    kept = samples(sealed.recorder.sealed("camera.r1"))
    # A sample of silence where there was sound bridges a hole; it is what is missing, not an altered one.
    before = {sample.name: sample for sample in sealed.samples}
    true = {s.name for s in kept if s.name in before and before[s.name].data == s.data}
    altered = [s for s in kept if s.name not in true and s.data != SILENCE]
    gaps = [(start, end) for start, end, _ in result["track"]["gaps"]]
    return Lost([s for s in sealed.samples if s.name not in true], altered, gaps)


def allowed(sealed: Sealed, segment: int) -> tuple[float, float]:
    """From where to where samples may be missing when this segment is damaged, in ms of the track: its own,
    and what follows up to the next key frame behind it."""
    start, end = segment * 65536, (segment + 1) * 65536
    own = [s for s in sealed.samples if s.pos < end and s.pos + len(s.data) + 64 > start]
    later = [s.at for s in sealed.samples if s.kind == "video" and s.key and s.pos >= end]
    if not own:
        return 0.0, 0.0
    finish = later[0] if later else float(sealed.described["duration_ms"])
    return min(s.at for s in own), max(finish, max(s.at + s.length for s in own))
