"""The clock: APScheduler decides when recurring jobs run, and only puts them into the queue.

Several schedulers may run; the one that holds an advisory lock in PostgreSQL leads, and another takes over
within LEAD_SECONDS of its end. When each rare job last ran is kept in a file, so that a start after a
standstill catches up once, not as often as it missed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger
from sqlalchemy import Connection, exc, text

from appliance import jobs
from appliance.config import Settings
from appliance.database import engine, transaction
from appliance.durable import write_durably
from appliance.errors import DatabaseDownError

logger = logging.getLogger(__name__)

LOCK_NAME = "fupan scheduler"
LEAD_SECONDS = 5.0
RARE_SECONDS = 30.0  # jobs at least this far apart are remembered over a restart


@dataclass(frozen=True)
class Entry:
    """One recurring job, `every` so many seconds, or each day at a time ("HH:MM" by the machine's clock)."""

    task: str
    every: float
    at: str = ""


def entries(settings: Settings) -> tuple[Entry, ...]:
    """What runs on this site."""
    check_at = settings.vault.check_at
    nightly = (Entry("check_part", 86400.0, check_at),) if check_at else ()
    return (
        *nightly,
        Entry("ingest_pull", settings.timing.pull),
        Entry("rerun_stalled", 30.0),
        Entry("expire_attempts", 60.0),
        Entry("take_up_skipped", 60.0),
        Entry("close_lapsed_views", 60.0),
        Entry("publish_day_keys", 300.0),
        Entry("backup_keys", 3600.0),
        Entry("record_locks", 60.0),
        Entry("take_up_waiting", 10.0),
        Entry("watch_vault", 60.0),
        Entry("sample_disk", 60.0),
        Entry("compare_journal", 3600.0),
        Entry("clear_journals", 3600.0),
        Entry("destroy_day_keys", 86400.0),
        Entry("tier_by_policy", 86400.0),
        Entry("erase_due", 60.0),
        Entry("erase_again", 86400.0),
    )


def main(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    run(settings, stop)


def run(settings: Settings, stop: threading.Event) -> None:
    """Lead whenever nobody else does, until `stop`; outlives the database being away."""
    while not stop.is_set():
        try:
            with engine("worker", settings).connect() as connection:
                if _may_lead(connection):
                    _lead(settings, connection, stop)
        except (exc.DBAPIError, DatabaseDownError) as error:
            logger.warning("the database does not answer (%s); trying again", type(error).__name__)
        stop.wait(LEAD_SECONDS)


def _may_lead(connection: Connection) -> bool:
    """Take the lock for as long as this connection lives."""
    with connection.begin():
        return bool(
            connection.scalar(text("SELECT pg_try_advisory_lock(hashtext(:name))"), {"name": LOCK_NAME})
        )


def _lead(settings: Settings, connection: Connection, stop: threading.Event) -> None:
    logger.info("leading")
    scheduler = BackgroundScheduler(timezone=UTC)
    memory = LastRuns(settings.run_folder / "schedule.json")
    for entry in entries(settings):
        scheduler.add_job(
            _enqueuer(settings, entry, memory),
            _trigger(entry),
            next_run_time=_first_run(entry, memory),
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
        )
    scheduler.start()
    try:
        # The lock dies with its connection, and with it the right to lead.
        while not stop.wait(LEAD_SECONDS):
            with connection.begin():
                connection.execute(text("SELECT 1"))
    finally:
        scheduler.shutdown()
        with contextlib.suppress(exc.DBAPIError):
            connection.invalidate()


def _trigger(entry: Entry) -> IntervalTrigger | CronTrigger:
    if not entry.at:
        return IntervalTrigger(seconds=entry.every, timezone=UTC)
    hour, minute = map(int, entry.at.split(":"))
    return CronTrigger(hour=hour, minute=minute)


def _first_run(entry: Entry, memory: LastRuns) -> datetime:
    """Now, if a turn was missed or nothing is known; else when the next turn is due. What has its hour waits
    for it, unless it missed one."""
    now = datetime.now(UTC)
    last = memory.get(entry.task)
    if entry.at and (last is None or now < last + timedelta(seconds=2 * entry.every)):
        following: datetime = _trigger(entry).get_next_fire_time(None, now)
        return following
    return now if last is None else max(now, last + timedelta(seconds=entry.every))


def _enqueuer(settings: Settings, entry: Entry, memory: LastRuns) -> Callable[[], None]:
    def run_once() -> None:
        try:
            with transaction("worker", settings) as tx:
                jobs.enqueue(tx, entry.task)
        except DatabaseDownError:
            logger.warning("%s was not enqueued: the database does not answer", entry.task)
            return
        if entry.every >= RARE_SECONDS:
            memory.set(entry.task, datetime.now(UTC))

    return run_once


class LastRuns:
    """When each rare job was last enqueued. A file that is lost or unreadable means: never."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()
        self._at = self._read()

    def get(self, task: str) -> datetime | None:
        """The last time (UTC), or None. A time in the future, from a clock that was set back, is none."""
        at = self._at.get(task)
        return datetime.fromtimestamp(at, UTC) if at is not None and at <= time.time() else None

    def set(self, task: str, at: datetime) -> None:
        """Remember a run."""
        with self._guard:
            self._at[task] = at.timestamp()
            write_durably(self._path, json.dumps(self._at).encode())

    def _read(self) -> dict[str, float]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            return {str(task): float(at) for task, at in found.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}
