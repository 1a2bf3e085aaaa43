"""Seal: the real job with the real media child, on ten minutes and on two hours."""

from __future__ import annotations

import resource
import time
import uuid
from dataclasses import dataclass

from appliance.domain import RecordingState
from appliance.tables import recording as recording_table
from tests.bench import interview
from tests.bench.figures import Goal, Sheet
from tests.bench.stand import Stand
from tests.bench.usage import ChildWatch

SHORT_SECONDS, LONG_SECONDS = 600.0, 7200.0
# A site may let its room record more finely; the cost is by packet, so the rate grows with their size.
FINE_BITS = 3_000_000


@dataclass(frozen=True)
class Sealed:
    """What the parts after this one work on."""

    short: uuid.UUID
    long: uuid.UUID


def measure(sheet: Sheet, stand: Stand) -> Sealed:
    """Seal both; the short one may be analysed afterwards."""
    clip = interview.encode(interview.source())
    short, long = (
        _seal(sheet, stand, clip, name, seconds)
        for name, seconds in (("10min", SHORT_SECONDS), ("2h", LONG_SECONDS))
    )
    _seal(sheet, stand, interview.encode(interview.source(), FINE_BITS), "fine", LONG_SECONDS / 4)
    return Sealed(short, long)


def _seal(sheet: Sheet, stand: Stand, clip: interview.Clip, name: str, seconds: float) -> uuid.UUID:
    site = stand.desk.site
    made, size = interview.received(site, clip, seconds, analysis=seconds == SHORT_SECONDS)
    before, begun = _children_cpu(), time.monotonic()
    with ChildWatch("analysis") as watch:
        site.run_jobs()
    elapsed, used = time.monotonic() - begun, _children_cpu() - before
    row = site.row(recording_table, made)
    if row.state != RecordingState.SEALED or abs(row.duration_ms - seconds * 1000) > 500:
        raise RuntimeError(f"sealed wrong: {row.state} {row.duration_ms} ms {row.problem}")
    about = f"{size / 1e6:.0f} MB of 720p VP8 and Opus at {size * 8 / seconds / 1e6:.2f} Mbit/s"
    sheet.add(f"seal.{name}.rate", size / 1e6 / used, "MB/s/core", Goal("≥", 150), about)
    sheet.add(f"seal.{name}.memory", watch.peak_bytes / 1e6, "MB", Goal("<", 150), "peak of the media child")
    sheet.add(f"seal.{name}.job", elapsed, "s", None, "the whole job, keys, database and waiting included")
    return made


def _children_cpu() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime
