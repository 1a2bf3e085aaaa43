"""The rows of a sealed recording: its tracks, its gaps, and whether it is to be analysed."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, update
from sqlalchemy.dialects import postgresql

from appliance import consents, documents, jobs
from appliance.audit import log
from appliance.child import ChildFailedError
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import AnalysisState, ConsentPurpose, RecordingState
from appliance.stages.seal.media import Epoch
from appliance.tables import analysis, document, recording, track

# What a player is told each kind of file is. The child parses strangers' media, so a word of its own must
# never reach a browser as a content type.
MIME_OF = {"webm": "video/webm", "mp4": "video/mp4", "matroska": "video/x-matroska"}


def note_sealed(
    settings: Settings,
    row: Row[Any],
    parent: str,
    epochs: list[Epoch],
    result: dict[str, Any],
    sizes: dict[str, int],
) -> None:
    """Write everything about a sealed recording in one transaction; its audit event is the last statement.

    Raises ChildFailedError for a container that there is none of.
    """
    written = [described for described in result["tracks"] if described["container"]]
    tracks = [
        {
            "recording_id": row.id,
            "name": described["name"],
            "kind": described["name"],
            "mime": _mime_of(described["container"]),
            "container": described["container"],
            "duration_ms": described["duration_ms"],
            "bytes": sizes[described["name"]],
            "width": described["width"] or None,
            "height": described["height"] or None,
            "start_ms": described["start_ms"],
        }
        for described in written
    ]
    timeline_bytes = sizes[documents.TIMELINE]
    with transaction("worker", settings) as tx:
        tx.execute(delete(track).where(track.c.recording_id == row.id))
        if tracks:
            tx.execute(insert(track), tracks)
        tx.execute(delete(document).where(document.c.recording_id == row.id))
        tx.execute(
            insert(document).values(
                recording_id=row.id,
                name=documents.TIMELINE,
                version=1,
                kind=documents.TIMELINE,
                bytes=timeline_bytes,
            )
        )
        tx.execute(
            update(recording)
            .where(recording.c.id == row.id)
            .values(
                state=RecordingState.SEALED,
                sealed_at=datetime.now(UTC),
                day_key_id=next((epoch.day_key_id for epoch in epochs if epoch.day_key_id), None),
                department_year_key=parent,
                duration_ms=int(result["timeline"]["duration_ms"]),
                bytes=sum(each["bytes"] for each in tracks) + timeline_bytes,
                gaps=_gaps(result, epochs),
                problem=None if tracks else "no_media",
            )
        )
        _order_analysis(tx, row, has_media=bool(tracks))
        problems = Counter(epoch.problem for epoch in epochs if epoch.problem)
        details = {"tracks": len(tracks), "epochs": len(epochs), "unopened": dict(problems)}
        actor = log.Actor.unit("worker")
        log.append(tx, log.Action.SEAL_DONE, actor, "recording", row.id, details=details)


def _mime_of(container: Any) -> str:
    mime = MIME_OF.get(container) if isinstance(container, str) else None
    if mime is None:
        raise ChildFailedError("protocol", "a container that is not known")
    return mime


def _gaps(result: dict[str, Any], epochs: list[Epoch]) -> list[list[Any]]:
    """[start_ms, end_ms, reason, track] of everything that is missing; an epoch that does not open is one.

    The child names what it was given; epochs without even an opening are named here, without a time.
    """
    gaps = [[*gap, described["name"]] for described in result["tracks"] for gap in described["gaps"]]
    return gaps + [[0, 0, epoch.problem, epoch.track] for epoch in epochs if not epoch.opening]


def _order_analysis(tx: Connection, row: Row[Any], *, has_media: bool) -> None:
    """Queue the analysis if it was offered and agreed to; a declined one leaves no job."""
    offered = row.snapshot["policy"]["analysis"] == "offered"
    reason = None
    if not offered:
        reason = "not_offered"
    elif not consents.granted(tx, row.id, ConsentPurpose.ANALYSIS):
        reason = "declined"
    elif not has_media:
        reason = "no_media"
    state = AnalysisState.SKIPPED if reason else AnalysisState.QUEUED
    values = {"state": state, "reason": reason, "progress": 0}
    tx.execute(
        postgresql.insert(analysis)
        .values(recording_id=row.id, **values)
        .on_conflict_do_update(index_elements=["recording_id"], set_=values)
    )
    if not reason:
        jobs.enqueue(tx, "analyse", lock=f"recording:{row.id}", recording=str(row.id))
