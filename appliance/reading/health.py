"""How the site is: database, keyholder and vault, queue, disk, model pack."""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, text

from appliance import child, database, outages, vaults
from appliance.config import Settings
from appliance.domain import AnalysisState, RecordingState
from appliance.errors import DatabaseDownError, KeyholderDownError
from appliance.keyholder.client import Keyholder
from appliance.tables import analysis, checked_part, recording
from appliance.upkeep.night_check import PARTS
from appliance.vault_errors import NoVaultError

# Four weeks, and a night in which the machine was off.
ROUND = dt.timedelta(days=29)


@dataclass(frozen=True)
class Queue:
    """Jobs by what they wait for; `oldest_seconds` is the age of the longest-waiting one that is due."""

    waiting: int
    running: int
    failed: int
    oldest_seconds: float | None


@dataclass(frozen=True)
class Health:
    """`vault` is unlocked, locked, none or down; `schema` the database's revision or None when it is down.
    `waiting_for_room` counts the recordings whose sealing or analysis met a full disk and comes back to it.
    `confinement` is how the process that parses media is held here: whole, files_readable or impossible."""

    vault: str
    schema: str | None
    queue: Queue | None
    disk_free: int
    disk_total: int
    disk_floor: int
    waiting_for_room: int
    model_pack: str | None
    confinement: str
    stores: list[vaults.StoreState]
    checked: Checked | None


@dataclass(frozen=True)
class Checked:
    """How far the nightly reading of the vault has come. `last`: when a part ended, None before the first;
    `share` of everything that was read within ROUND, 0 to 1; `damaged`: findings of those nights."""

    last: dt.datetime | None
    share: float
    damaged: int


def vault_state(settings: Settings) -> str:
    """unlocked, locked, none before the vault was made, or down when the keyholder does not answer."""
    try:
        return "locked" if Keyholder(settings).status().locked else "unlocked"
    except NoVaultError:
        return "none"
    except KeyholderDownError:
        return "down"


def confinement() -> str:
    """whole, files_readable on a kernel without Landlock, impossible where nothing can be parsed at all."""
    try:
        return "whole" if child.files_are_hidden() else "files_readable"
    except child.ChildFailedError:
        return "impossible"


def health(settings: Settings) -> Health:
    """Ask every part; a part that is down is a value here, never an error."""
    disk = shutil.disk_usage(settings.data)
    active = settings.models_folder / "active"
    try:
        schema = database.version(settings)
        with database.transaction("staff", settings) as tx:
            queue, without_room, checked = _queue(tx), _waiting_for_room(tx), _checked(tx)
    except DatabaseDownError:
        schema, queue, without_room, checked = None, None, 0, None
    return Health(
        vault=vault_state(settings),
        schema=schema,
        queue=queue,
        disk_free=disk.free,
        disk_total=disk.total,
        disk_floor=settings.disk_floor_bytes,
        waiting_for_room=without_room,
        model_pack=active.resolve().name if active.exists() else None,
        confinement=confinement(),
        stores=vaults.states(settings),
        checked=checked,
    )


def _waiting_for_room(tx: Connection) -> int:
    seals = select(recording.c.id).where(
        recording.c.state == RecordingState.SEALING, recording.c.problem == outages.FULL
    )
    analyses = select(analysis.c.recording_id).where(
        analysis.c.state == AnalysisState.QUEUED, analysis.c.reason == outages.FULL
    )
    return tx.scalar(select(func.count()).select_from(seals.union_all(analyses).subquery())) or 0


def _checked(tx: Connection) -> Checked:
    lately = checked_part.c.ended_at > func.now() - ROUND
    row = tx.execute(
        select(
            func.max(checked_part.c.ended_at).label("last"),
            func.count().filter(lately).label("parts"),
            func.coalesce(func.sum(checked_part.c.damaged).filter(lately), 0).label("damaged"),
        )
    ).one()
    return Checked(row.last, row.parts / PARTS, row.damaged)


def _queue(tx: Connection) -> Queue:
    row = tx.execute(
        text(
            "SELECT count(*) FILTER (WHERE status = 'todo') AS waiting,"
            " count(*) FILTER (WHERE status = 'doing') AS running,"
            " count(*) FILTER (WHERE status = 'failed') AS failed,"
            " (SELECT extract(epoch FROM now() - min(e.at)) FROM procrastinate_events e"
            "  JOIN procrastinate_jobs j ON j.id = e.job_id"
            "  WHERE j.status = 'todo' AND e.type = 'deferred'"
            "  AND (j.scheduled_at IS NULL OR j.scheduled_at <= now())) AS oldest"
            " FROM procrastinate_jobs"
        )
    ).one()
    return Queue(row.waiting, row.running, row.failed, float(row.oldest) if row.oldest is not None else None)
