"""Alarms: each is noted once, with its event, whoever noticed it."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from typing import Any

import pytest
from sqlalchemy import select, text

from appliance.config import Settings
from appliance.database import transaction
from appliance.errors import KeyholderDownError
from appliance.jobs import Work
from appliance.keyholder.answers.desk import Peer
from appliance.keyholder.client import Keyholder
from appliance.tables import vault_alarm
from appliance.upkeep import alarms
from tests.support import factory
from tests.support.keyholder import running_keyholder

NOW = dt.datetime.now(dt.UTC)
HERE = Peer(1, 1)


def noted(settings: Settings) -> list[tuple[str, Any]]:
    with transaction("staff", settings) as tx:
        rows = tx.execute(select(vault_alarm).order_by(vault_alarm.c.at, vault_alarm.c.kind))
        return [(row.kind, row.about) for row in rows]


def events(settings: Settings) -> list[tuple[str, Any]]:
    with transaction("auditor", settings) as tx:
        found = tx.scalars(text("SELECT body FROM audit_event WHERE action = 'vault:alarm' ORDER BY seq"))
        told = [json.loads(body)["event"] for body in found]
    return [(event["reason"], event["details"]) for event in told]


def test_what_the_keyholder_noticed_is_carried_over_once_also_over_its_restart(settings: Settings) -> None:
    """A keyholder of 30 days ahead, so that nothing else alarms."""
    expected = []
    for count in (1, 2):
        with running_keyholder(settings, days_ahead=30) as server:
            server.service.desk.alarm("bulk_use", HERE, who=f"person {count}", limit=60)
            expected.append(("bulk_use", {"who": f"person {count}", "limit": 60}))
            for _ in range(2):
                alarms.watch(settings, NOW)
            assert noted(settings) == events(settings) == expected


@pytest.mark.parametrize(("ahead", "left"), [(8, None), (7, 7), (1, 1)])
def test_the_end_of_the_day_keys_is_told_once_a_day_from_a_week_before(
    settings: Settings, ahead: int, left: int | None
) -> None:
    with running_keyholder(settings, days_ahead=ahead):
        Keyholder(settings).lock()
        for _ in range(2):
            alarms.watch(settings, NOW)
        last = str(NOW.date() + dt.timedelta(days=ahead))
        told = [("day_keys_end", {"last": last, "days": left})] if left is not None else []
        assert noted(settings) == events(settings) == told
        alarms.watch(settings, NOW + dt.timedelta(days=ahead + 2))
        assert noted(settings) == [*told, ("day_keys_end", {"last": last, "days": -2})]


def test_events_that_the_log_lacks_are_named_once(settings: Settings, keyholder: Keyholder) -> None:
    alarms.compare(settings)
    assert noted(settings) == []
    department = factory.make_department(settings)
    made = factory.make_attempt(settings, department, state="sealing")
    event = factory.worker_event(settings, made, "seal")
    keyholder.create_recording_key(made, department, 2026, event.id)
    with transaction("owner", settings) as tx:  # as after a restore to the moment before it
        tx.execute(text("ALTER TABLE audit_event DISABLE TRIGGER audit_event_append_only"))
        tx.execute(text("DELETE FROM audit_event WHERE seq = :seq"), {"seq": event.seq})
        tx.execute(text("UPDATE audit_head SET seq = 0, hash = sha256('')"))
    for _ in range(2):
        alarms.compare(settings)
    assert noted(settings) == [("events_missing", {"count": 1, "events": [str(event.id)]})]


def test_without_a_keyholder_there_is_nothing_to_carry(settings: Settings) -> None:
    with pytest.raises(KeyholderDownError):
        alarms.watch(settings, NOW)
    alarms.watch_vault(Work(settings, lambda: False))
    assert noted(settings) == []


def test_an_alarm_that_cannot_be_recorded_is_noted_another_time(settings: Settings) -> None:
    """The row and its event commit together."""
    known = uuid.uuid4()
    with transaction("worker", settings) as tx:
        assert alarms.note_once(tx, known, "events_missing", "x", {"count": 1})
        tx.rollback()
    with transaction("worker", settings) as tx:
        assert alarms.note_once(tx, known, "events_missing", "x", {"count": 1})
        assert not alarms.note_once(tx, known, "events_missing", "x", {"count": 1})
    assert events(settings) == [("events_missing", {"count": 1})]
