"""What waits for the vault is taken up in order, once, and only when it can go on."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from sqlalchemy import select, text, update

from appliance.config import Settings
from appliance.database import transaction
from appliance.keyholder.client import Keyholder
from appliance.tables import analysis, attempt, recording
from appliance.upkeep import waiting
from tests.support import factory
from tests.support.keyholder import running_keyholder, unlock

NOON = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)


def waits(settings: Settings, minute: int, what: str, reason: str = "vault_locked") -> uuid.UUID:
    """An interview that ended at a minute past noon and whose seal or analysis waits."""
    department = factory.make_department(settings)
    state = "sealing" if what == "seal" else "sealed"
    made = factory.make_attempt(settings, department, state=state)
    ended = NOON + dt.timedelta(minutes=minute)
    with transaction("worker", settings) as tx:
        tx.execute(update(attempt).where(attempt.c.id == made).values(finished_at=ended, state="finished"))
    if what == "analyse":
        factory.set_analysis(settings, made, "queued")
        changed = update(analysis).where(analysis.c.recording_id == made).values(reason=reason, failures=2)
    else:
        changed = update(recording).where(recording.c.id == made).values(problem=reason, failures=1)
    with transaction("worker", settings) as tx:
        tx.execute(changed)
    return made


def ordered(settings: Settings) -> list[tuple[str, uuid.UUID, int]]:
    """Job, recording and failures before, in the order in which a worker takes them."""
    statement = text("SELECT task_name, args FROM procrastinate_jobs ORDER BY priority DESC, id")
    with transaction("worker", settings) as tx:
        return [
            (row.task_name, uuid.UUID(row.args["recording"]), row.args.get("failures", 0))
            for row in tx.execute(statement)
        ]


def test_seals_come_first_each_in_the_order_in_which_the_interviews_ended(
    settings: Settings, keyholder: Keyholder
) -> None:
    late_analysis = waits(settings, 3, "analyse")
    second = waits(settings, 2, "seal")
    early_analysis = waits(settings, 0, "analyse", "keyholder_down")
    first = waits(settings, 1, "seal", "keyholder_down")
    waits(settings, 0, "seal", "full")  # which has a job of its own
    waits(settings, 0, "analyse", "full")
    assert waiting.take_up(settings) == 4
    assert ordered(settings) == [
        ("seal", first, 1),
        ("seal", second, 1),
        ("analyse", early_analysis, 2),
        ("analyse", late_analysis, 2),
    ]
    assert waiting.take_up(settings) == 0
    with transaction("worker", settings) as tx:
        waits_for = {*tx.scalars(select(recording.c.problem)), *tx.scalars(select(analysis.c.reason))}
        assert waits_for == {None, "full"}


def test_nothing_is_taken_up_while_the_vault_is_locked_or_nobody_answers(settings: Settings) -> None:
    made = waits(settings, 0, "seal")
    assert waiting.take_up(settings) == 0
    with running_keyholder(settings):
        Keyholder(settings).lock()
        assert waiting.take_up(settings) == 0
        assert ordered(settings) == []
        unlock(settings)
        assert waiting.take_up(settings) == 1
        assert ordered(settings) == [("seal", made, 1)]


@pytest.mark.parametrize("state", ["running", "cancelled", "done"])
def test_an_analysis_that_does_not_wait_any_more_is_left_alone(
    settings: Settings, keyholder: Keyholder, state: str
) -> None:
    made = waits(settings, 0, "analyse")
    factory.set_analysis(settings, made, state)
    assert waiting.take_up(settings) == 0
