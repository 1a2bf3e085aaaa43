"""What a recording holds, measured on decrypted bytes and transcripts without the product's own code."""

from __future__ import annotations

import io
import itertools
import re

import av


def packet_times(media: bytes) -> dict[str, list[float]]:
    """Stream type → when each of its packets is due, in ms after the first packet of all."""
    times: dict[str, list[float]] = {}
    with av.open(io.BytesIO(media)) as container:
        for packet in container.demux():
            if packet.pts is not None and packet.time_base is not None:
                times.setdefault(packet.stream.type, []).append(float(packet.pts * packet.time_base) * 1000)
    first = min(stamps[0] for stamps in times.values())
    return {kind: sorted(stamp - first for stamp in stamps) for kind, stamps in times.items()}


def furthest_apart(kept: bytes, given: bytes) -> float:
    """How far, in ms, any packet of `kept` is from where `given` has it; infinite when one is missing."""
    mine, theirs = packet_times(kept), packet_times(given)
    if {kind: len(stamps) for kind, stamps in mine.items()} != {k: len(v) for k, v in theirs.items()}:
        return float("inf")
    pairs = (pair for kind in mine for pair in zip(mine[kind], theirs[kind], strict=True))
    return max(abs(a - b) for a, b in pairs)


def largest_pauses(media: bytes) -> dict[str, float]:
    """Stream type → the longest time in ms from one packet to the next."""
    return {
        kind: max((b - a for a, b in itertools.pairwise(stamps)), default=0.0)
        for kind, stamps in packet_times(media).items()
    }


def container_seconds(media: bytes) -> float:
    """The length that the file itself states."""
    with av.open(io.BytesIO(media)) as container:
        return (container.duration or 0) / 1_000_000


def words(text: str) -> list[str]:
    """English words in lower case."""
    return re.findall(r"[a-z']+", text.lower())


def characters(text: str) -> list[str]:
    """Chinese characters and whatever else is no punctuation."""
    return re.findall(r"\w", text)


def error_rate(meant: list[str], heard: list[str]) -> float:
    """Insertions, deletions and substitutions over what was meant."""
    row = list(range(len(meant) + 1))
    for i, left in enumerate(heard, start=1):
        before, row[0] = row[0], i
        for j, right in enumerate(meant, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (left != right))
    return row[-1] / len(meant)
