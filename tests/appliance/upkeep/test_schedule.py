from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from appliance import jobs
from appliance.config import Settings, Timing
from appliance.database import transaction
from appliance.upkeep import schedule
from appliance.upkeep.schedule import Entry, LastRuns
from tests.support import postgres
from tests.support.waiting import until


@contextmanager
def scheduling(settings: Settings) -> Iterator[threading.Event]:
    stop = threading.Event()
    thread = threading.Thread(target=schedule.run, args=(settings, stop))
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


@pytest.fixture
def brisk(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(schedule, "LEAD_SECONDS", 0.2)
    return replace(settings, timing=Timing(pull=0.1))


def queued(settings: Settings) -> set[str]:
    with transaction("worker", settings) as tx:
        return set(tx.scalars(text("SELECT task_name FROM procrastinate_jobs")))


def leaders(settings: Settings) -> int:
    statement = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    with transaction("worker", settings) as tx:
        return int(tx.scalar(text(statement)) or 0)


def test_it_orders_what_recurs_and_the_queue_does_not_grow(brisk: Settings) -> None:
    with scheduling(brisk):
        recurring = {name for name, kind in jobs.KINDS.items() if kind.once} - {"check_part"}  # has its hour
        until(lambda: queued(brisk) == recurring)
        threading.Event().wait(0.5)
        with transaction("worker", brisk) as tx:
            assert tx.scalar(text("SELECT count(*) FROM procrastinate_jobs")) == len(recurring)


def test_what_has_its_hour_waits_for_it_unless_it_missed_one(settings: Settings, tmp_path: Path) -> None:
    memory = LastRuns(tmp_path / "schedule.json")
    [entry] = [each for each in schedule.entries(settings) if each.task == "check_part"]
    assert (entry.at, settings.vault.check_at) == ("02:30", "02:30")
    now = dt.datetime.now(dt.UTC)
    for last, waits in ((None, True), (20, True), (30, True), (49, False)):
        if last is not None:
            memory.set("check_part", now - dt.timedelta(hours=last))
        first = schedule._first_run(entry, memory)
        here = first.astimezone()
        assert ((here.hour, here.minute) == (2, 30) and first > now) is waits, last
        assert first < now + dt.timedelta(hours=25)
    never = replace(settings, vault=replace(settings.vault, check_at=""))
    assert "check_part" not in {each.task for each in schedule.entries(never)}


def test_one_leads_and_another_takes_over(brisk: Settings) -> None:
    with scheduling(brisk) as first:
        until(lambda: leaders(brisk) == 1)
        with scheduling(brisk):
            threading.Event().wait(0.5)
            assert leaders(brisk) == 1
            first.set()
            with transaction("worker", brisk) as tx:
                tx.execute(text("DELETE FROM procrastinate_jobs"))
            until(lambda: "ingest_pull" in queued(brisk))
            until(lambda: leaders(brisk) == 1)
    until(lambda: leaders(brisk) == 0)


def test_a_lost_connection_ends_the_lead_and_it_is_taken_again(
    brisk: Settings, cluster: postgres.Cluster
) -> None:
    with scheduling(brisk):
        until(lambda: "ingest_pull" in queued(brisk))
        with cluster.superuser() as connection:
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
                {"name": brisk.database.name},
            )
        with transaction("worker", brisk) as tx:
            tx.execute(text("DELETE FROM procrastinate_jobs"))
        until(lambda: "ingest_pull" in queued(brisk))


def test_a_missed_turn_is_caught_up_once_and_a_fresh_one_is_not_repeated(tmp_path: Path) -> None:
    memory = LastRuns(tmp_path / "schedule.json")
    entry = Entry("expire_attempts", 60)
    now = dt.datetime.now(dt.UTC)
    assert schedule._first_run(entry, memory) - now < dt.timedelta(seconds=1)
    memory.set(entry.task, now - dt.timedelta(seconds=20))
    again = LastRuns(tmp_path / "schedule.json")
    due = schedule._first_run(entry, again) - now
    assert dt.timedelta(seconds=38) < due < dt.timedelta(seconds=42)
    again.set(entry.task, now - dt.timedelta(days=3))
    assert schedule._first_run(entry, LastRuns(tmp_path / "schedule.json")) - now < dt.timedelta(seconds=1)
    again.set(entry.task, now + dt.timedelta(days=3))
    assert LastRuns(tmp_path / "schedule.json").get(entry.task) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"expire_attempts": "soon"}', "7"])
def test_a_broken_memory_means_never(tmp_path: Path, content: str) -> None:
    (tmp_path / "schedule.json").write_text(content)
    assert LastRuns(tmp_path / "schedule.json").get("expire_attempts") is None
