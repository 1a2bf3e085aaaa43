"""The rows of a sealed recording: its tracks, its gaps, and whether it is to be analysed."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.dialects import postgresql

from appliance import consents, documents, jobs
from appliance.audit import log
from appliance.child import ChildFailedError
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import AnalysisState, ConsentPurpose, RecordingState
from appliance.drafts import Drafts, Written
from appliance.manifest import Manifest, TrackEntry
from appliance.stages.seal.media import Epoch
from appliance.tables import analysis, document, recording, track


def manifest_of(
    row: Row[Any], parent: str, epochs: list[Epoch], result: dict[str, Any], drafts: Drafts
) -> Manifest:
    """What was sealed. Raises ChildFailedError for what no child of ours says."""
    try:
        tracks = tuple(
            TrackEntry.described(described, described["name"], drafts.header("track", described["name"]))
            for described in result["tracks"]
            if described["container"]
        )
        duration_ms = int(result["timeline"]["duration_ms"])
    except (KeyError, TypeError, ValueError) as error:
        raise ChildFailedError("protocol", str(error)) from error
    return Manifest(
        recording=row.id,
        sealed_at=datetime.now(UTC),
        end_proven=row.end_proven,
        day_key=next((epoch.day_key_id for epoch in epochs if epoch.day_key_id), None),
        department_year_key=parent,
        duration_ms=duration_ms,
        gaps=_gaps(result, epochs),
        tracks=tracks,
    )


def note_sealed(
    settings: Settings, row: Row[Any], epochs: list[Epoch], sealed: Manifest, written: dict[str, Written]
) -> None:
    """Write everything about a sealed recording in one transaction; its audit event is the last statement.

    `written`: the documents by name.
    """
    with transaction("worker", settings) as tx:
        kept = select(recording.c.state).where(recording.c.id == row.id).with_for_update()
        if tx.scalar(kept) != RecordingState.SEALING:  # erased meanwhile: what is sealed opens no more
            return
        put_rows(tx, sealed, written)
        _order_analysis(tx, row, has_media=bool(sealed.tracks))
        problems = Counter(epoch.problem for epoch in epochs if epoch.problem)
        details = {"tracks": len(sealed.tracks), "epochs": len(epochs), "unopened": dict(problems)}
        actor = log.Actor.unit("worker")
        log.append(tx, log.Action.SEAL_DONE, actor, "recording", row.id, details=details)


def put_rows(tx: Connection, sealed: Manifest, written: dict[str, Written]) -> None:
    """The rows that a manifest and the documents lead to, in place of any that are there; what people wrote
    about it since an earlier seal stays."""
    recording_id = sealed.recording
    tx.execute(delete(track).where(track.c.recording_id == recording_id))
    if sealed.tracks:
        tx.execute(insert(track), [entry.row(recording_id) for entry in sealed.tracks])
    made = (document.c.recording_id == recording_id) & (document.c.kind != documents.NOTE)
    tx.execute(delete(document).where(made))
    tx.execute(
        insert(document),
        [
            {
                "recording_id": recording_id,
                "name": name,
                "version": 1,
                "kind": documents.kind_of(name),
                **each.columns,
            }
            for name, each in written.items()
        ],
    )
    tx.execute(
        update(recording)
        .where(recording.c.id == recording_id)
        .values(
            state=RecordingState.SEALED,
            sealed_at=sealed.sealed_at,
            day_key_id=sealed.day_key,
            department_year_key=sealed.department_year_key,
            duration_ms=sealed.duration_ms,
            bytes=sum(entry.file_size for entry in sealed.tracks)
            + sum(each.size for each in written.values()),
            gaps=sealed.gaps,
            problem=None if sealed.tracks else "no_media",
        )
    )


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
