"""The usable packets of one epoch, and what is known about them after one look.

The first look (`scan`) and the copying itself read through the same `read_packets`, so what was counted is
what is written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from storage.stream import EpochReader

from .container import Codec, codec_of, media_streams, open_input
from .errors import MediaError

LONGEST_EPOCH_MS = 12 * 3600 * 1000.0
# A recorder's first timestamp may be a little after its start; more than this is another clock.
LATEST_FIRST_SAMPLE_MS = 2000.0
AUDIO_JUMP_MS = 100.0
SLACK_MS = 10_000.0
USUAL_SPACING_MS = {"video": 40.0, "audio": 20.0}
LONGEST_SPACING_MS = 1000.0
MOST_NEGATIVE = -(1 << 62)
# A packet's place is where its block begins; between that and its first byte stands less than this.
BLOCK_HEADER_BYTES = 64

See = Callable[[Packet, float, float], None]
Choose = Callable[[InputContainer], list[Stream]]


@dataclass
class StreamFacts:
    """One stream of one epoch; times in ms of the container's own clock."""

    codec: Codec
    width: int = 0
    height: int = 0
    first_ms: float = math.inf
    last_ms: float = -math.inf
    last_length_ms: float = 0.0
    packets: int = 0
    keys: int = 0

    @property
    def end_ms(self) -> float:
        """When the last sample stops showing or sounding."""
        if self.last_length_ms > 0:
            return self.last_ms + self.last_length_ms
        spacing = USUAL_SPACING_MS[self.codec.kind]
        if self.packets > 1:
            spacing = (self.last_ms - self.first_ms) / (self.packets - 1)
        return self.last_ms + min(spacing, LONGEST_SPACING_MS)


@dataclass
class Break:
    """A stretch without samples inside an epoch, in ms of the container's clock."""

    start_ms: float
    end_ms: float
    reason: str  # "missing", "unopenable", "no_samples"


@dataclass
class EpochFacts:
    """What one look at an epoch found. `problem` is empty when all of it can be used."""

    streams: list[StreamFacts] = field(default_factory=list)
    breaks: list[Break] = field(default_factory=list)
    problem: str = ""

    @property
    def usable(self) -> bool:
        """Whether there is anything to copy."""
        return any(stream.packets for stream in self.streams)

    @property
    def origin_ms(self) -> float:
        """The container's time when the recorder started."""
        first = min((s.first_ms for s in self.streams if s.packets), default=0.0)
        return 0.0 if 0.0 <= first <= LATEST_FIRST_SAMPLE_MS else first

    @property
    def length_ms(self) -> float:
        """From the recorder's start to the end of the last sample."""
        return max((s.end_ms for s in self.streams if s.packets), default=self.origin_ms) - self.origin_ms


@dataclass(frozen=True)
class Hole:
    """A place in the plaintext where something is missing: the bytes from `offset` up to `end` read as zeros,
    or chunks were left out (`end` is `offset`)."""

    offset: int
    end: int
    reason: str


def holes_of(reader: EpochReader) -> list[Hole]:
    """Where in the plaintext of `reader` something was left out, in order; the end is the last place."""
    holes = []
    for gap in reader.gaps:
        after = [chunk.offset for chunk in reader.chunks if chunk.n > gap.last]
        offset = after[0] if after else reader.size
        holes.append(Hole(offset, offset, gap.reason))
    return sorted(holes, key=lambda hole: hole.offset)


@dataclass
class Walk:
    """What `read_packets` noticed on its way."""

    breaks: list[Break] = field(default_factory=list)
    cut_short: bool = False


def read_packets(
    container: InputContainer, streams: list[Stream], holes: list[Hole], limit_ms: float, walk: Walk
) -> Iterator[tuple[Packet, float, float]]:
    """Yield (packet, time in ms, length in ms) of each sample that can be used, in the order of the file.

    Dropped: samples without a time or outside the epoch, samples cut by a hole or in it, pictures between a
    hole (or the start) and the next key frame. Timestamps never go back within a stream. Ends, with
    `walk.cut_short`, where libav cannot go on.
    """
    pending = list(holes)
    scale = {stream.index: float(stream.time_base * 1000) for stream in streams}
    is_video = {stream.index: stream.type == "video" for stream in streams}
    waits_for_key = {index for index, video in is_video.items() if video}
    last_dts: dict[int, int] = {}
    reached = last_sound_end = -math.inf
    whole_from = 0
    open_break: Break | None = None
    try:
        for packet in container.demux(streams):
            pts, dts, index = packet.pts, packet.dts, packet.stream_index
            if pts is None or not packet.size:
                continue
            at, length = pts * scale[index], (packet.duration or 0) * scale[index]
            if not -LATEST_FIRST_SAMPLE_MS <= at <= limit_ms:
                continue
            length = max(0.0, min(length, limit_ms - at))
            while pending and packet.pos >= pending[0].offset:
                hole = pending.pop(0)
                whole_from = max(whole_from, hole.end)
                open_break = Break(reached, reached, hole.reason)
                waits_for_key = {i for i, video in is_video.items() if video}
            if packet.pos < whole_from or (pending and _reaches(packet, pending[0])):
                continue
            if index in waits_for_key:
                if not packet.is_keyframe:
                    continue
                waits_for_key.discard(index)
            ordered = max(pts if dts is None else dts, last_dts.get(index, MOST_NEGATIVE) + 1)
            if ordered != dts or pts < ordered:
                packet.dts, packet.pts = ordered, max(pts, ordered)
            last_dts[index] = ordered
            if open_break is not None and at > open_break.start_ms:
                if math.isfinite(open_break.start_ms):
                    walk.breaks.append(Break(open_break.start_ms, at, open_break.reason))
                open_break = None
            elif (
                not is_video[index] and math.isfinite(last_sound_end) and at - last_sound_end > AUDIO_JUMP_MS
            ):
                walk.breaks.append(Break(last_sound_end, at, "no_samples"))
            if not is_video[index]:
                last_sound_end = max(last_sound_end, at + length)
            reached = max(reached, at + length)
            yield packet, at, length
    except (av.FFmpegError, ValueError, OverflowError):
        walk.cut_short = True


def _reaches(packet: Packet, hole: Hole) -> bool:
    """Whether bytes of a packet that begins before a hole may be lost in it."""
    around = BLOCK_HEADER_BYTES if hole.end > hole.offset else 0
    return packet.pos + packet.size + around > hole.offset


def limit_of(reader: EpochReader) -> float:
    """The latest believable sample time of an epoch, in ms after its start."""
    end = reader.end_record
    if end is None:
        return LONGEST_EPOCH_MS
    stated = end.clock_ms - reader.opening.clock.monotonic_ms
    return min(LONGEST_EPOCH_MS, stated + SLACK_MS) if stated >= 0 else LONGEST_EPOCH_MS


def scan(reader: EpochReader) -> EpochFacts:
    """Look through one epoch. Never raises for what is in it: `problem` names what is wrong."""
    facts = look_through(reader, holes_of(reader), limit_of(reader), EpochFacts())
    _note_missing_end(reader, facts)
    return facts


def look_through(
    file: IO[bytes],
    holes: list[Hole],
    limit_ms: float,
    facts: EpochFacts,
    see: See | None = None,
    choose: Choose = media_streams,
) -> EpochFacts:
    """Fill in `facts` about the streams that `choose` picks of a recording. Never raises for what is in it.

    `see` is shown each packet that can be used, with its time and length in ms.
    """
    file.seek(0)
    walk = Walk()
    try:
        with open_input(file) as container:
            streams = choose(container)
            found = {stream.index: _facts_of(stream) for stream in streams}
            for packet, at, length in read_packets(container, streams, holes, limit_ms, walk):
                stream = found[packet.stream_index]
                stream.first_ms = min(stream.first_ms, at)
                if at >= stream.last_ms:
                    stream.last_ms, stream.last_length_ms = at, length
                stream.packets += 1
                stream.keys += packet.is_keyframe
                if see is not None:
                    see(packet, at, length)
    except MediaError as error:
        facts.problem = error.kind
        return facts
    facts.streams = [stream for stream in found.values() if stream.packets]
    facts.breaks = walk.breaks
    if not facts.usable:
        facts.problem = "no_media"
    elif walk.cut_short:
        facts.problem = "cut_short"
    return facts


def _facts_of(stream: Stream) -> StreamFacts:
    facts = StreamFacts(codec_of(stream))
    if stream.type == "video":
        facts.width, facts.height = stream.codec_context.width, stream.codec_context.height
    return facts


def _note_missing_end(reader: EpochReader, facts: EpochFacts) -> None:
    """Chunks missing at the end leave no sample behind them; the end record tells how long they were."""
    end = reader.end_record
    if not facts.usable or end is None:
        return
    at_end = [hole for hole in holes_of(reader) if hole.offset >= reader.size]
    stated = facts.origin_ms + end.clock_ms - reader.opening.clock.monotonic_ms
    reached = facts.origin_ms + facts.length_ms
    if at_end and stated - reached > AUDIO_JUMP_MS:
        facts.breaks.append(Break(reached, min(stated, limit_of(reader)), at_end[0].reason))
