"""The `remux` request: epochs in, sealed tracks and a sealed timeline out."""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Callable
from typing import Any

from storage.stream import EpochReader, VaultError, parse_opening

from .documents import Output, write_document
from .errors import RequestError
from .events import answers, read_events
from .remux import Epoch, TrackPlan, plan_track
from .samples import LONGEST_EPOCH_MS, EpochFacts, scan
from .timeline import EpochClock, Timeline, can_be_placed, place
from .track_file import write_track

Progress = Callable[[float, str], None]
SCAN_SHARE = 0.4  # of the whole, seen on ten-minute recordings


def seal_tracks(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Carry out one `remux` request and return its result. Raises AnalysisError."""
    with contextlib.ExitStack() as stack:
        tracks = [(entry, _open_epochs(entry, stack)) for entry in request["tracks"]]
        event_entries = request.get("events") or []
        events = [_open_epochs(entry, stack) for entry in event_entries]
        _scan_all([epoch for _entry, epochs in tracks for epoch in epochs], progress)
        clocks = [_clock_of(e, is_media=True) for _entry, epochs in tracks for e in epochs if e.facts.usable]
        clocks += [
            _clock_of(e, is_media=False)
            for epochs in events
            for e in epochs
            if e.reader and e.facts.problem != "clock"
        ]
        timeline = place(clocks)
        plans = [plan_track(entry["name"], epochs, timeline) for entry, epochs in tracks]
        described = _write_all([entry for entry, _ in tracks], plans, progress)
        readers = [epoch.reader for epochs in events for epoch in epochs if epoch.reader]
        document = _timeline_document(timeline, described, readers)
        summary = {"duration_ms": document["duration_ms"], "events": len(document["events"])}
        for entry in event_entries:
            summary["bytes"] = write_document(Output.from_request(entry), document)
    return {"tracks": described, "timeline": summary}


def _open_epochs(entry: dict[str, Any], stack: contextlib.ExitStack) -> list[Epoch]:
    return [_open_epoch(wanted, stack) for wanted in entry["epochs"]]


def _open_epoch(wanted: dict[str, Any], stack: contextlib.ExitStack) -> Epoch:
    """An epoch ready to be read; one that does not open is kept, with its problem."""
    try:
        opening = parse_opening(base64.b64decode(wanted["opening"], validate=True))
    except (VaultError, binascii.Error, ValueError) as error:
        raise RequestError("an opening in the request cannot be parsed") from error
    name = opening.epoch.hex()
    key = wanted.get("key")
    if not key:
        return Epoch(name, None, EpochFacts(problem="not_opened"))
    try:
        reader = EpochReader(wanted["journal_fd"], opening.epoch, base64.b64decode(key), opening)
    except (VaultError, OSError, ValueError):
        return Epoch(name, None, EpochFacts(problem="not_opened"))
    stack.callback(reader.close)
    if not can_be_placed(opening.clock.monotonic_ms, opening.clock.wall_ms):
        return Epoch(name, reader, EpochFacts(problem="clock"))
    if not reader.size:
        return Epoch(name, reader, EpochFacts(problem="not_opened" if reader.gaps else "empty"))
    return Epoch(name, reader, EpochFacts())


def _scan_all(epochs: list[Epoch], progress: Progress) -> None:
    total = sum(epoch.reader.size for epoch in epochs if epoch.reader) or 1
    done = 0
    for epoch in epochs:
        if epoch.reader is None or epoch.facts.problem:
            continue
        epoch.facts = scan(epoch.reader)
        done += epoch.reader.size
        progress(SCAN_SHARE * done / total, "scan")


def _clock_of(epoch: Epoch, *, is_media: bool) -> EpochClock:
    assert epoch.reader is not None
    clock, end = epoch.reader.opening.clock, epoch.reader.end_record
    length = epoch.facts.length_ms if is_media else 0.0
    if end is not None and not is_media:
        length = min(max(0.0, end.clock_ms - clock.monotonic_ms), LONGEST_EPOCH_MS)
    return EpochClock(clock.page_load, clock.monotonic_ms, clock.wall_ms, length, is_media)


def _write_all(
    entries: list[dict[str, Any]], plans: list[TrackPlan], progress: Progress
) -> list[dict[str, Any]]:
    total = sum(epoch.reader.size for plan in plans for epoch in plan.usable if epoch.reader) or 1
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress(SCAN_SHARE + (1 - SCAN_SHARE) * done / total, "write")

    return [write_track(plan, entry, advance) for entry, plan in zip(entries, plans, strict=True)]


def _timeline_document(
    timeline: Timeline, tracks: list[dict[str, Any]], readers: list[EpochReader]
) -> dict[str, Any]:
    end = max((track["start_ms"] + track["duration_ms"] for track in tracks), default=0)
    events, refused = read_events(readers, timeline)
    return {
        "version": 1,
        "duration_ms": end,
        "pages": [
            {
                "page": span.page.hex(),
                "start_ms": round(span.start_ms),
                "end_ms": round(span.end_ms),
                "wall_ms": round(span.wall_ms),
                "cut_ms": round(span.cut_ms),
            }
            for span in timeline.pages
        ],
        "tracks": [
            {key: track[key] for key in ("name", "start_ms", "duration_ms", "gaps", "epochs")}
            for track in tracks
        ],
        "events": events,
        "events_refused": refused,
        "answers": answers(events, end),
    }
