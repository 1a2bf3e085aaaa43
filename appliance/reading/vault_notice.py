"""What everybody at a desk should know of the vault: what waits while it is locked, and how long the room for
recordings lasts; for administrators also the alarms."""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, func, select

from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import AnalysisState, RecordingState
from appliance.errors import DatabaseDownError, KeyholderDownError
from appliance.keyholder.client import Keyholder
from appliance.tables import analysis, disk_sample, recording, vault_alarm
from appliance.vault_errors import NoVaultError

RATE_OVER = dt.timedelta(hours=1)
ALARMS_OF = dt.timedelta(days=7)
MANY_ALARMS = 20


@dataclass(frozen=True)
class Room:
    """What is left for recordings, in bytes, down to where new ones are refused. `hours`: how long that lasts
    at the rate of the last hour; None where nothing was recorded in it (`resting`) or too little is known."""

    free: int
    hours: float | None
    resting: bool


@dataclass(frozen=True)
class AlarmNote:
    """One alarm; `about` says more, by its kind (upkeep/alarms.py)."""

    at: dt.datetime
    kind: str
    about: dict[str, Any]


@dataclass(frozen=True)
class Notice:
    """`state`: unlocked, locked, none before a vault was made, or down when the keyholder does not answer.
    `seals` and `analyses` count the recordings that wait for it; None, and no room, when the database does
    not answer. `last_day`: that of the last key that browsers can seal to, and how many days off it is."""

    state: str
    seals: int | None = None
    analyses: int | None = None
    room: Room | None = None
    last_day: str | None = None
    days_left: int | None = None
    alarms: list[AlarmNote] = field(default_factory=list)


def notice(settings: Settings, *, alarms: bool = False) -> Notice:
    """How the vault is; a part that is down is a value here, never an error. What waits is only counted while
    the vault is not unlocked, and alarms are only read where they are asked for."""
    now = dt.datetime.now(dt.UTC)
    state, last_day, days_left = "down", None, None
    try:
        status = Keyholder(settings).status()
        state, last_day = "locked" if status.locked else "unlocked", status.last_day_key
        if last_day is not None:
            days_left = (dt.date.fromisoformat(last_day) - now.date()).days
    except NoVaultError:
        state = "none"
    except KeyholderDownError:
        pass
    if state in ("unlocked", "none") and not alarms:
        return Notice(state, last_day=last_day, days_left=days_left)
    try:
        with transaction("staff", settings) as tx:
            told = _alarms(tx, now) if alarms else []
            if state in ("unlocked", "none"):
                return Notice(state, last_day=last_day, days_left=days_left, alarms=told)
            seals, analyses = _waiting(tx)
            room = _room(tx, settings, now)
    except DatabaseDownError:
        return Notice(state, last_day=last_day, days_left=days_left)
    return Notice(state, seals, analyses, room, last_day, days_left, told)


def _waiting(tx: Connection) -> tuple[int, int]:
    sealing = recording.c.state == RecordingState.SEALING
    queued = analysis.c.state == AnalysisState.QUEUED
    seals = tx.scalar(select(func.count()).select_from(recording).where(sealing)) or 0
    return seals, tx.scalar(select(func.count()).select_from(analysis).where(queued)) or 0


def _room(tx: Connection, settings: Settings, now: dt.datetime) -> Room:
    samples = tx.execute(
        select(disk_sample).where(disk_sample.c.at > now - RATE_OVER).order_by(disk_sample.c.at)
    ).all()
    if not samples:
        free = shutil.disk_usage(settings.data).free
        return Room(max(0, free - settings.disk_floor_bytes), None, resting=False)
    free = max(0, samples[-1].free_bytes - settings.disk_floor_bytes)
    seconds = (samples[-1].at - samples[0].at).total_seconds()
    if seconds <= 0:
        return Room(free, None, resting=False)
    # What was cleared meanwhile is no less that was recorded.
    grown = sum(max(0, later.intake_bytes - earlier.intake_bytes) for earlier, later in pairwise(samples))
    return Room(free, free / (grown / seconds) / 3600 if grown else None, resting=not grown)


def _alarms(tx: Connection, now: dt.datetime) -> list[AlarmNote]:
    rows = tx.execute(
        select(vault_alarm)
        .where(vault_alarm.c.at > now - ALARMS_OF)
        .order_by(vault_alarm.c.at.desc(), vault_alarm.c.id)
        .limit(MANY_ALARMS)
    )
    return [AlarmNote(row.at, row.kind, row.about) for row in rows]
