"""Several epochs and page loads of one track into one playable file, copied sample by sample.

Nothing is decoded or encoded. Sound is kept continuous: where samples are missing, packets of silence are
written, since players drift apart on a hole in the sound; picture holds its last frame. What is missing is
named in the track's gaps, also when the player hides it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from storage.stream import EpochReader, VaultError

from .container import (
    MIME,
    Codec,
    choose_format,
    codec_of,
    index_bytes,
    media_streams,
    open_input,
    output_options,
)
from .errors import MediaError, OutputError
from .samples import AUDIO_JUMP_MS, EpochFacts, Hole, Walk, holes_of, limit_of, read_packets
from .timeline import Timeline, can_be_placed

# An Opus packet of 20 ms of silence (RFC 6716: full band, one frame of nothing).
OPUS_SILENCE = bytes.fromhex("f8fffe")
OPUS_SILENCE_MS = 20
# In all of one track. What is missing beyond it stays a hole: a stranger's timestamps may claim days.
MOST_SILENCE_MS = 2 * 3600 * 1000.0
SHORTEST_GAP_MS = 100.0
NANOSECONDS = 1_000_000_000
Advance = Callable[[int], None]


@dataclass
class Epoch:
    """One epoch of a track: what was asked for, what was found, where it went on the recording clock."""

    id: str
    reader: EpochReader | None
    facts: EpochFacts
    start_ms: float = 0.0

    @property
    def end_ms(self) -> float:
        """The end of its last sample on the recording clock."""
        return self.start_ms + (self.facts.length_ms if self.facts.usable else 0.0)

    def choose(self, source: InputContainer) -> list[Stream]:
        """The streams of it that are copied."""
        return media_streams(source)

    @property
    def recorded_as(self) -> str:
        """The MIME type that its recorder stated."""
        return self.reader.opening.mime if self.reader is not None else ""

    @property
    def holes(self) -> list[Hole]:
        """Where something of it is missing."""
        return holes_of(self.reader) if self.reader is not None else []

    @property
    def limit_ms(self) -> float:
        """The latest believable sample time."""
        assert self.reader is not None
        return limit_of(self.reader)


@dataclass
class TrackPlan:
    """The epochs of one track in order, with everything that is known before writing."""

    name: str
    epochs: list[Epoch]
    gaps: list[tuple[float, float, str]] = field(default_factory=list)

    @property
    def usable(self) -> list[Epoch]:
        """Epochs with samples."""
        return [epoch for epoch in self.epochs if epoch.facts.usable]

    @property
    def start_ms(self) -> float:
        """Recording time of the file's time zero."""
        return self.usable[0].start_ms if self.usable else 0.0

    @property
    def end_ms(self) -> float:
        """Recording time of the end of the last sample."""
        return self.usable[-1].end_ms if self.usable else 0.0

    @property
    def codecs(self) -> list[Codec]:
        """The distinct codecs, pictures first, in order of their share of the track."""
        shares: dict[Codec, int] = {}
        for epoch in self.usable:
            for stream in epoch.facts.streams:
                shares[stream.codec] = shares.get(stream.codec, 0) + stream.packets
        return sorted(shares, key=lambda codec: (codec.kind == "audio", -shares[codec]))


def plan_track(name: str, epochs: Iterable[Epoch], timeline: Timeline) -> TrackPlan:
    """Put the epochs of one track on the recording clock, one after the other, and name what is missing."""
    epochs = list(epochs)
    for epoch in epochs:
        clock = epoch.reader.opening.clock if epoch.reader is not None else None
        if clock is not None and can_be_placed(clock.monotonic_ms, clock.wall_ms):
            epoch.start_ms = timeline.at(clock.page_load, clock.monotonic_ms, clock.wall_ms)
    epochs.sort(key=lambda epoch: epoch.start_ms)
    plan = TrackPlan(name, epochs)
    reached: float | None = None
    for epoch in epochs:
        if not epoch.facts.usable:
            plan.gaps.append((epoch.start_ms, epoch.start_ms, epoch.facts.problem))
            continue
        if reached is not None:
            epoch.start_ms = max(epoch.start_ms, reached)
            if epoch.start_ms - reached > SHORTEST_GAP_MS:
                plan.gaps.append((reached, epoch.start_ms, "not_recorded"))
        shift = epoch.start_ms - epoch.facts.origin_ms
        plan.gaps += [(b.start_ms + shift, b.end_ms + shift, b.reason) for b in epoch.facts.breaks]
        reached = epoch.end_ms
    shown = {codec.kind: codec for codec in reversed(plan.codecs)}
    for epoch in plan.usable:
        if any(stream.codec != shown[stream.codec.kind] for stream in epoch.facts.streams):
            plan.gaps.append((epoch.start_ms, epoch.end_ms, "codec_changed"))
    plan.gaps.sort()
    return plan


@dataclass(frozen=True)
class Layout:
    """How a track will be written."""

    container: str
    index: int

    @property
    def head_budget(self) -> int:
        """Bytes that the muxer may come back to: the index and a megabyte for everything before it."""
        return self.index + (1 << 20)

    @property
    def head_bytes(self) -> int:
        """Bytes at the start without which nothing can be played: the index and what is before it."""
        return self.index + (1 << 16)


def layout_of(plan: TrackPlan) -> Layout:
    """Choose the container and the room for its index. Raises MediaError("no_media")."""
    if not plan.usable:
        raise MediaError("no_media", "no epoch of this track can be used")
    container = choose_format(plan.codecs)
    streams = [stream for epoch in plan.usable for stream in epoch.facts.streams]
    spanned = plan.end_ms - plan.start_ms
    samples = sum(stream.packets for stream in streams)
    samples += int(min(spanned, MOST_SILENCE_MS) / OPUS_SILENCE_MS) + 1
    keys = sum(stream.keys for stream in streams if stream.codec.kind == "video")
    return Layout(container, index_bytes(container, samples, keys + min(int(spanned / 1000), samples) + 1))


class TrackWriter:
    """Writes one planned track into a file-like object."""

    def __init__(self, plan: TrackPlan, layout: Layout, out: io.RawIOBase) -> None:
        self.plan, self.layout, self.out = plan, layout, out
        self._streams: dict[Codec, Stream] = {}
        self._ends: dict[int, float] = {}  # file time in ms up to which an output stream is filled
        self._last_dts: dict[int, int] = {}  # in ns, whatever the time base of an epoch
        self._silence_left = int(MOST_SILENCE_MS) // OPUS_SILENCE_MS  # packets

    def write(self, advance: Advance) -> None:
        """Copy every usable epoch. `advance(bytes)` is told how far each came. Raises OutputError."""
        options = output_options(self.layout.container, self.layout.index)
        try:
            with av.open(self.out, "w", format=self.layout.container, options=options) as output:
                self._add_streams(output)
                for epoch in self.plan.usable:
                    self._copy(epoch, output)
                    advance(epoch.reader.size if epoch.reader else 0)
        except (av.FFmpegError, VaultError, OSError, ValueError, OverflowError) as error:
            raise OutputError("the track could not be written", error) from error

    def _add_streams(self, output: OutputContainer) -> None:
        for codec in self.plan.codecs:
            epoch = next(e for e in self.plan.usable if any(s.codec == codec for s in e.facts.streams))
            assert epoch.reader is not None
            epoch.reader.seek(0)
            with open_input(epoch.reader) as source:
                template = next(s for s in epoch.choose(source) if codec_of(s) == codec)
                stream = output.add_stream_from_template(template, opaque=True)
                stream.time_base = template.time_base
                self._streams[codec] = stream

    def _copy(self, epoch: Epoch, output: OutputContainer) -> None:
        assert epoch.reader is not None
        epoch.reader.seek(0)
        shift_ms = epoch.start_ms - self.plan.start_ms - epoch.facts.origin_ms
        with open_input(epoch.reader) as source:
            streams = epoch.choose(source)
            codecs = {s.index: codec_of(s) for s in streams}
            shifts = {s.index: round(Fraction(shift_ms) / 1000 / s.time_base) for s in streams}
            # Looked up once: a packet makes a new fraction each time it is asked for its time base.
            bases = {s.index: s.time_base for s in streams}
            targets = {index: self._streams.get(codec) for index, codec in codecs.items()}
            walk = read_packets(source, streams, epoch.holes, epoch.limit_ms, Walk())
            for packet, at, length in walk:
                index = packet.stream_index
                codec, stream = codecs[index], targets[index]
                if stream is None:
                    continue
                self._fill_silence(codec, stream, at + shift_ms, output)
                if shifts[index]:
                    packet.pts += shifts[index]
                    packet.dts += shifts[index]
                self._keep_order(packet, stream, bases[index])
                packet.stream = stream
                output.mux(packet)
                self._ends[stream.index] = at + shift_ms + length

    def _keep_order(self, packet: Packet, stream: Stream, base: Fraction) -> None:
        """Rounding at the join of two epochs must not let a timestamp repeat. `base`: the packet's."""
        index = stream.index
        ticks, second = base.numerator * NANOSECONDS, base.denominator
        at = packet.dts * ticks // second
        last = self._last_dts.get(index)
        if last is not None and at <= last:
            packet.dts = last * second // ticks + 1
            packet.pts = max(packet.pts, packet.dts)
            at = packet.dts * ticks // second
        self._last_dts[index] = at

    def _fill_silence(self, codec: Codec, stream: Stream, until_ms: float, output: OutputContainer) -> None:
        """Bridge a hole in the sound up to `until_ms` of the file. Only Opus has a packet for silence."""
        at = self._ends.get(stream.index)
        if codec.name != "opus" or at is None or until_ms - at <= AUDIO_JUMP_MS:
            return
        base = Fraction(1, 1000)
        at = float(round(at))
        while at + OPUS_SILENCE_MS <= until_ms and self._silence_left > 0:
            self._silence_left -= 1
            packet = Packet(OPUS_SILENCE)
            packet.time_base, packet.is_keyframe = base, True
            packet.pts = packet.dts = int(at)
            packet.duration = OPUS_SILENCE_MS
            self._keep_order(packet, stream, base)
            packet.stream = stream
            output.mux(packet)
            at += OPUS_SILENCE_MS


def describe(plan: TrackPlan, layout: Layout | None, written: int) -> dict[str, Any]:
    """The track as the parent process stores it; without a layout nothing could be written."""
    streams = [stream for epoch in plan.usable for stream in epoch.facts.streams]
    return {
        "name": plan.name,
        "container": layout.container if layout else "",
        "mime": MIME[layout.container] if layout else "",
        "recorded_as": sorted({epoch.recorded_as for epoch in plan.usable}),
        "codecs": [codec.name for codec in plan.codecs],
        "start_ms": round(plan.start_ms),
        "duration_ms": round(plan.end_ms - plan.start_ms),
        "width": max((stream.width for stream in streams), default=0),
        "height": max((stream.height for stream in streams), default=0),
        "bytes": written,
        "gaps": [[round(start), round(end), reason] for start, end, reason in plan.gaps],
        "epochs": [_describe_epoch(epoch) for epoch in plan.epochs],
    }


def _describe_epoch(epoch: Epoch) -> dict[str, Any]:
    facts = {"epoch": epoch.id, "start_ms": round(epoch.start_ms), "end_ms": round(epoch.end_ms)}
    return facts | ({"problem": epoch.facts.problem} if epoch.facts.problem else {})
