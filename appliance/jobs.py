"""The queue: Procrastinate on the product's own PostgreSQL.

`enqueue` writes a job in the caller's transaction, so a job exists exactly when the row it is about does.
A stage declares its own job with `@task("name")`; this module names stages only by the strings in
TASK_MODULES, so that stages hand over to each other without importing each other.

A job may run twice (a worker can die between the work and its note of it): every task says in its
docstring what makes a second run harmless.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import procrastinate
import psycopg
import psycopg_pool
import sqlalchemy
from procrastinate.contrib.sqlalchemy import SQLAlchemyPsycopg2Connector
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException, JobAborted
from procrastinate.job_context import JobContext
from procrastinate.jobs import Job
from procrastinate.retry import BaseRetryStrategy, RetryDecision
from procrastinate.tasks import configure_task
from sqlalchemy import Connection

from appliance import outages
from appliance.child import ChildStoppedError
from appliance.config import Settings
from appliance.database import transaction
from appliance.selftest import require_known_answers

logger = logging.getLogger(__name__)

TASK_MODULES = (
    "appliance.stages.invite",
    "appliance.stages.ingest",
    "appliance.stages.seal",
    "appliance.stages.seal.journals",
    "appliance.stages.analyse",
    "appliance.stages.replay",
    "appliance.stages.erase.run",
    "appliance.upkeep.alarms",
    "appliance.upkeep.day_keys",
    "appliance.upkeep.disk",
    "appliance.upkeep.key_backup",
    "appliance.upkeep.locks",
    "appliance.upkeep.night_check",
    "appliance.upkeep.repair",
    "appliance.upkeep.tiers",
    "appliance.upkeep.waiting",
)

HEARTBEAT_SECONDS = 5.0
STALLED_SECONDS = 20.0
SHUTDOWN_SECONDS = 5.0  # what a running job gets before it is asked to stop
RECONNECT_SECONDS = 2.0
BACKOFF_SECONDS = (2, 10, 30, 120, 600)
FAILURES = "failures"  # beside a job's own arguments: how often its work has failed so far


@dataclass(frozen=True)
class Kind:
    """How jobs of one name are queued.

    `once`: at most one waits at a time, however often it is enqueued. Such a job is never retried, since
    a retry could collide with the one that waits; whoever enqueues it does so again.
    """

    queue: str
    priority: int = 0
    once: bool = False


KINDS = {
    "rerun_stalled": Kind("pull", priority=20, once=True),
    "ingest_pull": Kind("pull", priority=10, once=True),
    "expire_attempts": Kind("pull", once=True),
    "take_up_skipped": Kind("pull", once=True),
    "close_lapsed_views": Kind("pull", once=True),
    "publish_day_keys": Kind("pull", once=True),
    "backup_keys": Kind("pull", once=True),
    "record_locks": Kind("pull", once=True),
    "take_up_waiting": Kind("pull", once=True),
    "send_invitation": Kind("mail"),
    "watch_vault": Kind("pull", once=True),
    "sample_disk": Kind("upkeep", once=True),
    "compare_journal": Kind("upkeep", once=True),
    "tier_by_policy": Kind("pull", once=True),
    "move": Kind("tiers"),
    "check_part": Kind("check", once=True),
    "repair": Kind("check"),
    "clear_journals": Kind("upkeep", once=True),
    "destroy_day_keys": Kind("upkeep", once=True),
    "erase_due": Kind("upkeep", once=True),
    "erase_again": Kind("upkeep", once=True),
    "seal": Kind("seal"),
    "analyse": Kind("analysis"),
}
# Queue → jobs at once. Each has its own, so that a slow relay or a long analysis holds up nothing else.
WORKERS = (("pull", 2), ("mail", 1), ("seal", 2), ("analysis", 1), ("upkeep", 1), ("tiers", 1), ("check", 1))


@dataclass(frozen=True)
class Work:
    """What a task gets besides its own arguments.

    `stopping` turns true when the worker must end: stop the child and raise `ChildStoppedError`; the job
    goes back to the queue. `last` says that a failure now is final; an outage never is. `failures` is how
    often the work has failed before.
    """

    settings: Settings
    stopping: Callable[[], bool]
    last: bool = False
    failures: int = 0

    @property
    def tally(self) -> dict[str, int]:
        """What a job ordered in place of this one takes along, so that an outage forgets no failure."""
        return tally(self.failures)


def tally(failures: int) -> dict[str, int]:
    """How a job is told that the work has failed so often before."""
    return {FAILURES: failures} if failures else {}


class Backoff(BaseRetryStrategy):
    """Failures are tried again with growing pauses, then left for a person.

    Outages are waited for, and a job that its worker's end cut short goes back at once: neither counts, so
    it is not Procrastinate's number of attempts that is looked at but the failures noted with the job.
    """

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        if isinstance(exception, JobAborted):
            return RetryDecision()
        outage = outages.reason(exception)
        if outage is not None:
            return RetryDecision(retry_in={"seconds": outages.WAIT_SECONDS[outage]})
        failures = job.task_kwargs.get(FAILURES, 0)
        assert isinstance(failures, int)
        if failures >= len(BACKOFF_SECONDS):
            return None
        return RetryDecision(retry_in={"seconds": BACKOFF_SECONDS[failures]})


app = procrastinate.App(connector=SQLAlchemyPsycopg2Connector(), import_paths=TASK_MODULES)
# The worker gives `app` an asynchronous connector; enqueueing keeps this one, bound to no engine of its own.
_enqueuer = procrastinate.App(connector=SQLAlchemyPsycopg2Connector()).job_manager


def enqueue(
    tx: Connection, task_name: str, *, lock: str | None = None, wait_seconds: int = 0, **args: Any
) -> int | None:
    """Put a job in the queue with the caller's transaction; None when an equal one already waits.

    Jobs with the same `lock` run one after the other. `args` must be JSON values.
    """
    kind = KINDS[task_name]
    deferrer = configure_task(
        name=task_name,
        job_manager=_enqueuer,
        queue=kind.queue,
        priority=kind.priority,
        lock=lock,
        queueing_lock=task_name if kind.once else None,
        connection=tx,
        schedule_in={"seconds": wait_seconds} if wait_seconds else None,
    )
    try:
        with tx.begin_nested():  # a refused duplicate must not spoil the caller's transaction
            return deferrer.defer(**args)
    except AlreadyEnqueued:
        return None


def cancel(tx: Connection, task_name: str, **args: Any) -> int:
    """Cancel the waiting jobs of this name whose arguments contain `args`; returns how many."""
    statement = sqlalchemy.text(
        "UPDATE procrastinate_jobs SET status = 'cancelled'"
        " WHERE status = 'todo' AND task_name = :name AND args @> CAST(:args AS jsonb)"
    ).bindparams(sqlalchemy.bindparam("args", type_=sqlalchemy.JSON))
    result = tx.execute(statement, {"name": task_name, "args": args})
    return int(result.rowcount)


def forget_failed(tx: Connection, task_name: str, **args: Any) -> None:
    """Remove the failed jobs of this name whose arguments contain `args`: the work is done anew."""
    statement = sqlalchemy.text(
        "DELETE FROM procrastinate_jobs"
        " WHERE status = 'failed' AND task_name = :name AND args @> CAST(:args AS jsonb)"
    ).bindparams(sqlalchemy.bindparam("args", type_=sqlalchemy.JSON))
    tx.execute(statement, {"name": task_name, "args": args})


def task(name: str, *, retry: bool = True) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declare the function that runs jobs called `name`; it is called with a Work and the job's arguments."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @app.task(name=name, pass_context=True, queue=KINDS[name].queue, retry=Backoff() if retry else False)
        def run(context: JobContext, /, **args: Any) -> None:
            failures = int(args.pop(FAILURES, 0))
            work = Work(
                settings=context.additional_context["settings"],
                stopping=context.should_abort,
                last=not retry or failures >= len(BACKOFF_SECONDS),
                failures=failures,
            )
            try:
                function(work, **args)
            except ChildStoppedError as stopped:
                raise JobAborted from stopped
            except Exception as error:
                if not work.last and outages.reason(error) is None:
                    _note_failure(work.settings, context.job.id, failures + 1)
                raise

        return function

    return register


def _note_failure(settings: Settings, job_id: int | None, failures: int) -> None:
    with transaction("worker", settings) as tx:
        statement = sqlalchemy.text(
            "UPDATE procrastinate_jobs SET args = args || CAST(:noted AS jsonb) WHERE id = :id"
        ).bindparams(sqlalchemy.bindparam("noted", type_=sqlalchemy.JSON))
        tx.execute(statement, {"noted": {FAILURES: failures}, "id": job_id})


@app.task(name="rerun_stalled", pass_context=True, queue=KINDS["rerun_stalled"].queue)
async def rerun_stalled(context: JobContext) -> None:
    """Give back the jobs of workers that died. Repeating it finds nothing more to give back."""
    manager = context.app.job_manager
    await manager.prune_stalled_workers(STALLED_SECONDS)
    for job in await manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS):
        if KINDS[job.task_name].once and job.id is not None:
            # Its next turn is enqueued anyway, and two of it may not wait.
            await manager.finish_job_by_id_async(job.id, procrastinate.jobs.Status.ABORTED, delete_job=True)
        else:
            logger.warning("job %s of a dead worker runs again", job.task_name)
            await manager.retry_job(job)


def run_worker(settings: Settings) -> None:
    """Run jobs until SIGTERM or SIGINT; outlives the database being away.

    On a stop no new job starts; those that run get SHUTDOWN_SECONDS, then are asked to stop and go back.
    Raises ConfigurationError when the self-test fails.
    """
    require_known_answers()
    asyncio.run(_run_until_stopped(settings))


async def _run_until_stopped(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    while not stop.is_set():
        try:
            await _run_workers(settings, stop)
        except (ConnectorException, psycopg.Error, psycopg_pool.PoolTimeout, OSError) as error:
            logger.warning("the queue does not answer (%s); trying again", type(error).__name__)
        if not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), RECONNECT_SECONDS)


async def _run_workers(settings: Settings, stop: asyncio.Event) -> None:
    """One connected life of the workers: ends at `stop` or when one of them loses the database."""
    connector = procrastinate.PsycopgConnector(
        conninfo=settings.database_url("worker", driver="postgresql"),
        min_size=1,
        max_size=8,
    )
    with app.replace_connector(connector):
        async with app.open_async():
            workers = [
                asyncio.create_task(
                    app.run_worker_async(
                        queues=[queue],
                        name=queue,
                        concurrency=concurrency,
                        delete_jobs="successful",
                        additional_context={"settings": settings},
                        install_signal_handlers=False,
                        update_heartbeat_interval=HEARTBEAT_SECONDS,
                        stalled_worker_timeout=STALLED_SECONDS,
                        shutdown_graceful_timeout=SHUTDOWN_SECONDS,
                    )
                )
                for queue, concurrency in WORKERS
            ]
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait([*workers, stopped], return_when=asyncio.FIRST_COMPLETED)
            for waiting in (*workers, stopped):
                waiting.cancel()
            ended = await asyncio.gather(*workers, return_exceptions=True)
    for outcome in ended:
        if isinstance(outcome, Exception):
            raise outcome
