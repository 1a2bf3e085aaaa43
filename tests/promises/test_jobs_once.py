"""Promise: a job is neither lost nor doubled. The worker is killed while it works, again and again; each
recording ends sealed exactly once, and nothing is left over."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable

import pytest
from sqlalchemy import text

from appliance import jobs
from appliance.audit.log import Action
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import RecordingState
from appliance.keyholder.client import Keyholder
from appliance.stages import replay
from appliance.tables import document, recording, track
from tests.support.children import children_of
from tests.support.media import recorded
from tests.support.site import Site
from tests.support.waiting import until
from tests.support.worker import worker_process

pytestmark = pytest.mark.promise

KILLS = [3, pytest.param(50, marks=pytest.mark.long)]
FOUND_WITHIN = 90.0


def give_back(settings: Settings) -> None:
    """What the scheduler orders every half minute, without waiting for dead workers' heartbeats to age."""
    with transaction("worker", settings) as tx:
        tx.execute(text("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 minute'"))
        jobs.enqueue(tx, "rerun_stalled")


def kill(worker: subprocess.Popen[bytes]) -> None:
    """Kill a worker; back when its media child has ended too, as it has long before a job is given back."""
    os.kill(worker.pid, signal.SIGSTOP)  # so that it starts none after they were looked for
    os.waitid(os.P_PID, worker.pid, os.WSTOPPED)
    children = [os.pidfd_open(pid) for pid in children_of(worker.pid)]
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    for child in children:  # a descriptor of a process reads when it has ended
        assert select.select([child], [], [], 30)[0]
        os.close(child)


@pytest.mark.parametrize("kills", KILLS)
def test_kills_neither_lose_nor_double_a_seal(
    settings: Settings, keyholder: Keyholder, kills: int, record_property: Callable[[str, object], None]
) -> None:
    site = Site(settings, keyholder)
    chance = random.Random(20261121)
    made: list[uuid.UUID] = []
    in_work = 0
    for _ in range(kills):
        made.append(site.finished(list(recorded())))
        with worker_process(settings) as worker:
            until(lambda: _doing(settings) or not _undone(settings))
            threading.Event().wait(chance.uniform(0.0, 1.0))
            in_work += bool(_doing(settings))
            kill(worker)
        give_back(settings)
    with worker_process(settings):
        until(lambda: not _undone(settings), 120)

    for recording_id in made:
        row = site.row(recording, recording_id)
        assert (row.state, row.problem) == (RecordingState.SEALED, None)
        assert site.actions("recording", recording_id).count(Action.SEAL_DONE) == 1
        assert [each.name for each in site.rows(track, recording_id=recording_id)] == ["camera"]
        kept = sorted(each.name for each in site.rows(document, recording_id=recording_id))
        assert kept == ["camera.head", "manifest", "timeline"]
        view = replay.open_view(settings, site.recruiter, recording_id)
        with replay.open_track(settings, view, "camera") as file:
            assert len(file.read(0, file.size)) == file.size
    assert list(settings.vault_folder.rglob("*.tmp")) == []
    assert in_work > 0
    record_property(
        "figure", f"{kills} kills, {in_work} in the middle of a job: {len(made)} recordings sealed once each"
    )


def _doing(settings: Settings) -> int:
    return _count(settings, "status = 'doing' AND task_name = 'seal' AND worker_id IN (SELECT id FROM"
                  " procrastinate_workers WHERE last_heartbeat > now() - interval '30 seconds')")  # fmt: skip


def _undone(settings: Settings) -> int:
    return _count(settings, "status IN ('todo', 'doing') AND task_name IN ('seal', 'analyse')")


def _count(settings: Settings, where: str) -> int:
    with transaction("worker", settings) as tx:
        return int(tx.scalar(text(f"SELECT count(*) FROM procrastinate_jobs WHERE {where}")) or 0)


def test_a_dead_workers_job_is_found_without_help(
    settings: Settings, keyholder: Keyholder, record_property: Callable[[str, object], None]
) -> None:
    """Heartbeats age by themselves here; only the scheduler's half-minute order is repeated faster."""
    site = Site(settings, keyholder)
    made = site.finished(list(recorded()))
    with worker_process(settings) as worker:
        until(lambda: _doing(settings) or not _undone(settings))
        kill(worker)
    killed = time.monotonic()

    def order_and_look() -> bool:
        with transaction("worker", settings) as tx:
            jobs.enqueue(tx, "rerun_stalled")
        return site.row(recording, made).state == RecordingState.SEALED

    with worker_process(settings):
        until(order_and_look, FOUND_WITHIN)
    record_property("figure", f"a killed worker's job was done again {time.monotonic() - killed:.0f} s later")
