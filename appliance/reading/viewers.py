"""Which seconds of a recording were watched, by whom."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass

from sqlalchemy import Connection, select

from appliance.tables import account, recording, replay_view


@dataclass(frozen=True)
class Watched:
    """One view: `ranges` are [start_ms, end_ms] on the recording's clock."""

    view_id: uuid.UUID
    event_seq: int
    who: str
    opened_at: dt.datetime
    closed_at: dt.datetime | None
    lease_until: dt.datetime
    ranges: list[list[int]]

    @property
    def total_ms(self) -> int:
        return sum(end - start for start, end in self.ranges)


def watched(tx: Connection, recording_id: uuid.UUID) -> dict[int, Watched]:
    """Every view of a recording, by the number of the log entry that opened it."""
    query = (
        select(replay_view, account.c.display_name)
        .join(account, account.c.id == replay_view.c.account_id)
        .where(replay_view.c.recording_id == recording_id)
    )
    return {
        row.event_seq: Watched(
            row.id,
            row.event_seq,
            row.display_name,
            row.opened_at,
            row.closed_at,
            row.lease_until,
            row.watched,
        )
        for row in tx.execute(query)
    }


def duration_ms(tx: Connection, recording_id: uuid.UUID) -> int:
    """Length of the sealed recording; 0 before it is sealed."""
    return tx.scalar(select(recording.c.duration_ms).where(recording.c.id == recording_id)) or 0


def recording_of(tx: Connection, view_id: uuid.UUID, account_id: uuid.UUID) -> uuid.UUID | None:
    """The recording that one's own view showed, also after the view has ended."""
    return tx.scalar(
        select(replay_view.c.recording_id).where(
            replay_view.c.id == view_id, replay_view.c.account_id == account_id
        )
    )
