from __future__ import annotations

import contextlib
import errno
import itertools
import os
import signal
from collections.abc import Iterator

import pytest
from procrastinate.exceptions import JobAborted
from procrastinate.jobs import Job
from sqlalchemy import Connection, text

from appliance import jobs
from appliance.child import ChildFailedError
from appliance.config import Settings
from appliance.database import transaction
from appliance.errors import AuditUnavailableError, DatabaseDownError, KeyholderDownError, VaultLockedError
from storage.vault import VaultFull
from tests.support import postgres
from tests.support.waiting import until
from tests.support.worker import run_jobs, worker_process

ran: list[str] = []
OUTAGES = (
    DatabaseDownError(),
    AuditUnavailableError(),
    VaultLockedError(),
    KeyholderDownError(),
    VaultFull("disk"),
    OSError(errno.ENOSPC, "full"),
    ChildFailedError("full"),
)


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    ran.clear()
    yield
    jobs.app.tasks.pop("probe", None)
    jobs.KINDS.pop("probe", None)


def declare(function: object, **kind: bool) -> None:
    jobs.KINDS["probe"] = jobs.Kind("seal", **kind)
    jobs.task("probe", retry=not kind.get("once", False))(function)


def waiting(tx: Connection) -> list[tuple[str, dict[str, str]]]:
    rows = tx.execute(text("SELECT status, args FROM procrastinate_jobs ORDER BY id"))
    return [(row.status, row.args) for row in rows]


def test_a_job_exists_exactly_when_its_transaction_commits(settings: Settings) -> None:
    with contextlib.suppress(RuntimeError), transaction("staff", settings) as tx:
        assert jobs.enqueue(tx, "seal", recording="a") is not None
        raise RuntimeError
    with transaction("worker", settings) as tx:
        assert waiting(tx) == []
    with transaction("staff", settings) as tx:
        jobs.enqueue(tx, "seal", recording="b")
    with transaction("worker", settings) as tx:
        assert waiting(tx) == [("todo", {"recording": "b"})]


def test_repeated_orders_of_a_recurring_job_do_not_pile_up(settings: Settings) -> None:
    for turn in range(3):
        with transaction("worker", settings) as tx:
            assert (jobs.enqueue(tx, "ingest_pull") is None) == (turn > 0)
            tx.execute(text("SELECT 1"))  # the transaction is still usable
    with transaction("worker", settings) as tx:
        assert len(waiting(tx)) == 1


def test_cancelling_takes_the_waiting_jobs_that_match(settings: Settings) -> None:
    with transaction("worker", settings) as tx:
        for name in ("a", "b"):
            jobs.enqueue(tx, "analyse", recording=name)
        assert jobs.cancel(tx, "analyse", recording="a") == 1
        assert jobs.cancel(tx, "seal", recording="b") == 0
        assert waiting(tx) == [("cancelled", {"recording": "a"}), ("todo", {"recording": "b"})]


def test_a_job_that_succeeded_leaves_nothing_behind(settings: Settings) -> None:
    declare(lambda work, name: ran.append(name))
    with transaction("staff", settings) as tx:
        jobs.enqueue(tx, "probe", name="once")
    run_jobs(settings)
    assert ran == ["once"]
    with transaction("worker", settings) as tx:
        assert waiting(tx) == []
        assert tx.scalar(text("SELECT count(*) FROM procrastinate_events")) == 0


def test_a_failure_waits_longer_each_time_and_is_left_for_a_person_at_last(settings: Settings) -> None:
    lasts: list[bool] = []

    def fail(work: jobs.Work) -> None:
        lasts.append(work.last)
        raise ValueError

    declare(fail)
    with transaction("staff", settings) as tx:
        jobs.enqueue(tx, "probe")
    pauses = []
    for _ in range(len(jobs.BACKOFF_SECONDS) + 1):
        run_jobs(settings)
        with transaction("worker", settings) as tx:
            statement = (
                "SELECT status, round(extract(epoch FROM scheduled_at - now())) FROM procrastinate_jobs"
            )
            status, pause = tx.execute(text(statement)).one()
            pauses.append(int(pause or 0))
            tx.execute(text("UPDATE procrastinate_jobs SET scheduled_at = now()"))
    assert status == "failed"
    assert [pytest.approx(pause, abs=2) for pause in jobs.BACKOFF_SECONDS] == pauses[:-1]
    assert lasts == [False] * len(jobs.BACKOFF_SECONDS) + [True]


def test_outages_are_waited_for_without_end_and_an_abort_goes_back_at_once() -> None:
    job = Job(
        id=1, queue="seal", lock=None, queueing_lock=None, task_name="probe", priority=0, attempts=99,
        task_kwargs={jobs.FAILURES: len(jobs.BACKOFF_SECONDS)},
    )  # fmt: skip
    for passing in (*OUTAGES, JobAborted()):
        assert jobs.Backoff().get_retry_decision(exception=passing, job=job) is not None
    assert jobs.Backoff().get_retry_decision(exception=ValueError(), job=job) is None


def test_only_failures_of_the_work_count_towards_the_last_try(settings: Settings) -> None:
    """Restarts of the worker and outages come between each two of them, and wear out no tries."""
    lasts: list[bool] = []
    ends = itertools.cycle([*OUTAGES, ValueError()])

    def end(work: jobs.Work, recording: str) -> None:
        lasts.append(work.last)
        assert recording == "a"
        raise next(ends)

    declare(end)
    with transaction("staff", settings) as tx:
        jobs.enqueue(tx, "probe", recording="a")
    status, turns = "todo", 0
    while status == "todo":
        run_jobs(settings)
        with transaction("worker", settings) as tx:
            status = tx.execute(text("SELECT status FROM procrastinate_jobs")).scalar_one()
            # Each restart of a worker is one more of the attempts that Procrastinate counts.
            tx.execute(text("UPDATE procrastinate_jobs SET scheduled_at = now(), attempts = attempts + 9"))
        turns += 1
        assert turns < 99
    tries = len(jobs.BACKOFF_SECONDS) + 1
    assert (status, len(lasts)) == ("failed", tries * (1 + len(OUTAGES)))
    assert lasts.index(True) == (tries - 1) * (1 + len(OUTAGES))
    with transaction("worker", settings) as tx:
        jobs.forget_failed(tx, "probe", recording="b")
        assert len(waiting(tx)) == 1
        jobs.forget_failed(tx, "probe", recording="a")
        assert waiting(tx) == []


def test_jobs_with_one_lock_run_one_after_the_other(settings: Settings) -> None:
    declare(lambda work, name: ran.append(name))
    with transaction("staff", settings) as tx:
        for name in "abc":
            jobs.enqueue(tx, "probe", lock="recording:1", name=name)
        tx.execute(text("SELECT 1"))
    run_jobs(settings)
    assert ran == ["a", "b", "c"]


def test_a_dead_workers_jobs_are_given_back_and_recurring_ones_dropped(settings: Settings) -> None:
    declare(lambda work, name: ran.append(name))
    with transaction("worker", settings) as tx:
        jobs.enqueue(tx, "probe", name="given back")
        jobs.enqueue(tx, "ingest_pull")
        worker = tx.scalar(
            text(
                "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 minute')"
                " RETURNING id"
            )
        )
        tx.execute(text("UPDATE procrastinate_jobs SET status = 'doing', worker_id = :w"), {"w": worker})
    with transaction("worker", settings) as tx:
        jobs.enqueue(tx, "rerun_stalled")
    run_jobs(settings)
    assert ran == ["given back"]
    with transaction("worker", settings) as tx:
        assert waiting(tx) == []


def test_the_worker_outlives_lost_connections_and_stops_on_sigterm(
    settings: Settings, cluster: postgres.Cluster
) -> None:
    def work_off() -> None:
        with transaction("worker", settings) as tx:
            jobs.enqueue(tx, "expire_attempts")

        def done() -> bool:
            with transaction("worker", settings) as tx:
                return waiting(tx) == []

        until(done, 60)

    with worker_process(settings) as process:
        work_off()
        with cluster.superuser() as connection:
            lost = connection.execute(
                text(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    " WHERE datname = :name AND usename = 'fupan_worker'"
                ),
                {"name": settings.database.name},
            ).scalar_one()
        assert lost > 0
        work_off()
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(15) == 0


def test_every_kind_of_job_has_its_task_and_every_task_its_kind() -> None:
    jobs.app.perform_import_paths()
    ours = {name for name in jobs.app.tasks if not name.startswith(("builtin:", "procrastinate."))}
    assert ours == set(jobs.KINDS)
    assert {kind.queue for kind in jobs.KINDS.values()} == {queue for queue, _ in jobs.WORKERS}
