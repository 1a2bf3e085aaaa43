"""Promise: what was finished while the vault was locked is sealed in the order in which the interviews ended,
whatever the order of its jobs, and though the worker is killed in the middle of it."""

from __future__ import annotations

import random
import subprocess
import uuid
from collections.abc import Callable

import pytest
from sqlalchemy import select, text

from appliance import jobs
from appliance.audit.log import Action
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import RecordingState
from appliance.keyholder.client import Keyholder
from appliance.stages import ingest
from appliance.tables import audit_event, recording
from appliance.transport import transport_of
from appliance.upkeep import waiting
from tests.promises.test_jobs_once import give_back, kill
from tests.support.keyholder import unlock
from tests.support.media import recorded
from tests.support.site import Site
from tests.support.waiting import until
from tests.support.worker import worker_process

pytestmark = pytest.mark.promise

MANY = 25
AT_ONCE = dict(jobs.WORKERS)["seal"]


def test_the_backlog_is_sealed_in_the_order_in_which_the_interviews_ended(
    settings: Settings, keyholder: Keyholder, record_property: Callable[[str, object], None]
) -> None:
    site = Site(settings, keyholder)
    keyholder.lock()
    ended = _finish(site, MANY)
    shuffled = random.Random(20261127).sample(ended, MANY)
    transport = transport_of(settings)
    for recording_id in shuffled:
        ingest.pull_recording(settings, transport, recording_id)
    assert [uuid.UUID(job["recording"]) for job in site.waiting_jobs("seal")] == shuffled
    site.run_jobs()
    assert site.waiting_jobs("seal") == []
    assert {row.problem for row in site.rows(recording)} == {"vault_locked"}

    unlock(settings)
    assert waiting.take_up(settings) == MANY
    assert [uuid.UUID(job["recording"]) for job in site.waiting_jobs("seal")] == ended
    with worker_process(settings) as worker:
        until(lambda: len(_events(settings, Action.SEAL_DONE)) >= MANY // 3, 120)
        _kill_while_it_seals(settings, worker)
    give_back(settings)
    with worker_process(settings):
        until(lambda: len(_events(settings, Action.SEAL_DONE)) >= MANY, 240)

    begun = list(dict.fromkeys(_events(settings, Action.SEAL_RUN)))
    moved = max(abs(begun.index(recording_id) - place) for place, recording_id in enumerate(ended))
    assert moved <= AT_ONCE  # each has at most so many beside it, of which one may be slow to begin
    assert sorted(_events(settings, Action.SEAL_DONE)) == sorted(ended)  # each once
    assert {row.state for row in site.rows(recording)} == {RecordingState.SEALED}
    turns = (
        f"{MANY} recordings finished while locked, sealed once each at their turn, {AT_ONCE} at once, 1 kill"
    )
    record_property("figure", turns)


def _finish(site: Site, many: int) -> list[uuid.UUID]:
    """Interviews that ended one after another; nothing of them is pulled yet."""
    made = site.invite(*(f"c{n}" for n in range(many)))
    site.run_jobs()
    chunks = list(recorded(2.0))
    for recording_id in made:
        browser = site.begun(recording_id, analysis=False)
        assert browser.finish(site.record(browser, chunks))[0] == 200
    return made


def _kill_while_it_seals(settings: Settings, worker: subprocess.Popen[bytes]) -> None:
    statement = text("SELECT 1 FROM procrastinate_jobs WHERE status = 'doing' AND task_name = 'seal' LIMIT 1")

    def doing() -> bool:
        with transaction("worker", settings) as tx:
            return bool(tx.scalar(statement))

    until(doing)
    kill(worker)


def _events(settings: Settings, action: Action) -> list[uuid.UUID]:
    """The recordings that events of this action are about, in order."""
    with transaction("auditor", settings) as tx:
        found = tx.scalars(
            select(audit_event.c.object_id).where(audit_event.c.action == action).order_by(audit_event.c.seq)
        )
        return [uuid.UUID(each) for each in found]
