"""What intake holds and what its disk has left, noted each minute, to tell how long the room lasts."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import delete, insert, select

from appliance import jobs
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import AttemptState
from appliance.tables import attempt, disk_sample, recording
from appliance.transport import Transport, transport_of

KEPT = dt.timedelta(days=1)


@jobs.task("sample_disk", retry=False)
def sample_disk(work: jobs.Work) -> None:
    """Note how it is. Run twice, two samples stand for the same minute."""
    sample(work.settings, transport_of(work.settings), dt.datetime.now(dt.UTC))


def sample(settings: Settings, transport: Transport, now: dt.datetime) -> None:
    """Count what recordings whose journals are there hold, and forget what was noted a day ago."""
    with transaction("worker", settings) as tx:
        begun = attempt.c.state.not_in([AttemptState.INVITED, AttemptState.EXPIRED])
        holding = tx.scalars(
            select(recording.c.id)
            .join(attempt, attempt.c.id == recording.c.id)
            .where(begun, recording.c.journals_removed_at.is_(None))
        ).all()
    room = transport.room(holding)
    with transaction("worker", settings) as tx:
        tx.execute(delete(disk_sample).where((disk_sample.c.at < now - KEPT) | (disk_sample.c.at > now)))
        values = {"intake_bytes": room.held, "free_bytes": room.free}
        tx.execute(insert(disk_sample).values(at=now, **values))
