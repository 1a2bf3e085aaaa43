"""The `repair` request: a damaged sealed track in, a whole one without the damaged places out.

The track is read through the salvage reader, which gives what proves genuine and zeros for the rest. Samples
that lie in a damaged place are left out, pictures up to the next key frame with them; every other sample is
copied with its own time. What that costs is named as gaps `damaged`, also in a new version of the timeline.
"""

from __future__ import annotations

import base64
import contextlib
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil, floor
from typing import Any

from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from storage.stream import SalvageReader, SealedReader, TrackHead, VaultError, joined, parse_head, runs

from .container import Codec, media_streams
from .documents import Output, read_document, write_document
from .errors import MediaError, RequestError
from .remux import Epoch, TrackPlan
from .samples import LONGEST_EPOCH_MS, EpochFacts, Hole, look_through
from .track_file import write_track

Progress = Callable[[float, str], None]
DAMAGED = "damaged"
LARGEST_HEAD = 64 << 20
LOOK_SHARE = 0.5
# By how much of the usual distance a sample may come late before something counts as missing.
LATE = 0.5
SHORTEST_LOSS_MS = 5.0


def repair_track(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Carry out one `repair` request and return its result; a track that is whole after all is not written.

    Raises AnalysisError: `not_opened` where nothing of the track can be read, `no_media` where no sample is
    left.
    """
    try:
        entry, timeline = request["track"], request["timeline"]
        start_ms, duration_ms = int(entry["start_ms"]), int(entry["duration_ms"])
    except (KeyError, TypeError, ValueError) as error:
        raise RequestError(f"the request is incomplete: {error}") from error
    with contextlib.ExitStack() as stack:
        reader = _open(entry)
        stack.callback(reader.close)
        found = {"segments": runs(reader.damaged), "bytes": sum(end - start for start, end in reader.holes)}
        if reader.whole:
            return {"track": None, "damage": found}
        salvaged = Salvaged("", reader, TrackFacts(), float(start_ms))
        losses = Losses(salvaged.holes)
        look_through(reader, salvaged.holes, salvaged.limit_ms, salvaged.facts, losses.see, salvaged.choose)
        if not salvaged.facts.usable:
            raise MediaError(salvaged.facts.problem, "nothing of the track is left")
        progress(LOOK_SHARE, "look")
        gaps = [[start_ms + start, start_ms + end, DAMAGED] for start, end in losses.spans(duration_ms)]
        described = write_track(SalvagedPlan(entry["name"], [salvaged]), entry, lambda _bytes: None)
        described["gaps"] = gaps
        progress(1.0, "write")
        if timeline is not None:
            _amend(timeline, entry["name"], gaps)
        return {"track": described, "damage": found}


def _open(entry: dict[str, Any]) -> SalvageReader:
    try:
        return SalvageReader(
            int(entry["fd"]), base64.b64decode(entry["key"]), _head(entry.get("salvage_head"))
        )
    except (VaultError, OSError) as error:
        raise MediaError("not_opened", "nothing of the track can be read") from error


def _head(entry: dict[str, Any] | None) -> TrackHead | None:
    """The track's head; None where there is none or it is damaged itself."""
    if entry is None:
        return None
    try:
        with SealedReader(int(entry["fd"]), base64.b64decode(entry["key"])) as reader:
            return parse_head(reader.read()) if reader.size <= LARGEST_HEAD else None
    except (VaultError, OSError):
        return None


def _amend(entry: dict[str, Any], track: str, gaps: list[list[Any]]) -> None:
    """Write the timeline anew with what the track lost."""
    document = read_document(int(entry["fd"]), base64.b64decode(entry["key"]))
    for each in document.get("tracks", []):
        if each.get("name") == track:
            each["gaps"] = sorted([*each.get("gaps", []), *gaps])
    write_document(Output.from_request(entry), document)


@dataclass
class TrackFacts(EpochFacts):
    """Facts about a sealed track, whose time zero stands for its start whatever its first sample is."""

    @property
    def origin_ms(self) -> float:
        """Zero: the file's own time is the track's."""
        return 0.0


@dataclass
class Salvaged(Epoch):
    """A sealed track as the one epoch of a new one."""

    reader: SalvageReader

    def choose(self, source: InputContainer) -> list[Stream]:
        """Every one: what is kept but not shown is kept on."""
        return media_streams(source, every=True)

    @property
    def recorded_as(self) -> str:
        """Unknown here; the manifest has it from the seal."""
        return ""

    @property
    def holes(self) -> list[Hole]:
        """The damaged places."""
        return [Hole(start, end, DAMAGED) for start, end in self.reader.holes]

    @property
    def limit_ms(self) -> float:
        """No sample of a sealed track is later."""
        return LONGEST_EPOCH_MS


@dataclass
class SalvagedPlan(TrackPlan):
    """The new track: its streams stay in their order, of which a player shows the first."""

    @property
    def codecs(self) -> list[Codec]:
        """As in the damaged track, without a stream that nothing is left of."""
        return [stream.codec for epoch in self.usable for stream in epoch.facts.streams]


@dataclass
class _Line:
    """How far one stream has come: byte and time of its last sample, and the usual distance of two, in ms."""

    pos: int
    at: float
    length: float
    spacing: float = 0.0

    @property
    def end(self) -> float:
        return self.at + (self.length or self.spacing)


@dataclass
class Losses:
    """Which stretches of the streams are missing because of holes, in ms of the track."""

    holes: list[Hole]
    _lines: dict[int, _Line] = field(default_factory=dict)
    _spans: list[tuple[float, float]] = field(default_factory=list)

    def see(self, packet: Packet, at: float, length: float) -> None:
        """Note one sample that is there; in the order of the file."""
        line = self._lines.get(packet.stream_index)
        if line is None:
            if self._between(-1, packet.pos):
                self._lose(0.0, at, 0.0)
            self._lines[packet.stream_index] = _Line(packet.pos, at, length)
            return
        if self._between(line.pos, packet.pos):
            self._lose(line.end, at, line.length or line.spacing)
        elif at > line.at:
            line.spacing = at - line.at
        line.pos, line.at, line.length = packet.pos, at, length

    def spans(self, duration_ms: int) -> list[tuple[int, int]]:
        """What is missing, when all samples were seen; to whole ms, never less than was lost."""
        for line in self._lines.values():
            if self._between(line.pos, None):
                self._lose(line.end, float(duration_ms), 0.0)
        return joined((floor(start), ceil(end)) for start, end in self._spans)

    def _between(self, after: int, before: int | None) -> bool:
        first = bisect_right(self.holes, after, key=lambda hole: hole.end)
        return first < len(self.holes) and (before is None or self.holes[first].offset < before)

    def _lose(self, start: float, end: float, usual: float) -> None:
        if end - start > max(SHORTEST_LOSS_MS, usual * LATE):
            self._spans.append((max(0.0, start), end))
