"""How an attempt ends: finished, or out of time."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import UTC, datetime

from sqlalchemy import Connection, select, update

from appliance import deadlines, jobs
from appliance.audit import log
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import OPEN_STATES, AttemptState, Limits, RecordingState
from appliance.tables import attempt, recording
from appliance.transport import Transport

EXPIRE_BATCH = 500


def begin_sealing(tx: Connection, recording_id: uuid.UUID, *, end_proven: bool, at: datetime) -> None:
    """The recording is complete, or its time is over: hand it to seal."""
    tx.execute(
        update(attempt)
        .where(attempt.c.id == recording_id)
        .values(state=AttemptState.FINISHED, finished_at=at, end_proven=end_proven)
    )
    tx.execute(update(recording).where(recording.c.id == recording_id).values(state=RecordingState.SEALING))
    jobs.enqueue(tx, "seal", lock=f"recording:{recording_id}", recording=str(recording_id))


def overdue(settings: Settings, looked_at: Collection[uuid.UUID] = ()) -> list[uuid.UUID]:
    """Attempts to end, some at a time, without those just looked at."""
    with transaction("worker", settings) as tx:
        return list(
            tx.scalars(
                select(attempt.c.id)
                .where(deadlines.overdue(datetime.now(UTC)), attempt.c.id.not_in(looked_at))
                .order_by(attempt.c.deadline)
                .limit(EXPIRE_BATCH)
            )
        )


def end_overdue(settings: Settings, transport: Transport, recording_id: uuid.UUID) -> bool:
    """End one attempt, unless it has ended or got a later deadline meanwhile.

    What was recorded is sealed with its end not proven; an attempt without a recording is expired. Its
    journals are read before the transaction. Raises StrangeFileError for what is none.
    """
    with transaction("worker", settings) as tx:
        snapshot = tx.execute(select(attempt.c.snapshot).where(attempt.c.id == recording_id)).scalar_one()
    journals = transport.journals(recording_id, Limits.of(snapshot).bytes)
    recorded = any(journal.state() for journal in journals.values())
    with transaction("worker", settings) as tx:
        row = tx.execute(
            select(attempt.c.state, attempt.c.deadline).where(attempt.c.id == recording_id).with_for_update()
        ).one()
        if row.state not in OPEN_STATES or row.deadline >= datetime.now(UTC):
            return False
        if recorded:
            begin_sealing(tx, recording_id, end_proven=False, at=row.deadline)
        else:
            tx.execute(update(attempt).where(attempt.c.id == recording_id).values(state=AttemptState.EXPIRED))
        actor = log.Actor.unit("worker")
        log.append(tx, log.Action.INGEST_FINISH, actor, "attempt", recording_id, reason="deadline")
    return True
