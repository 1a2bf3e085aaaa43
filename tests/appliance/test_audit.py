from __future__ import annotations

import datetime as dt
import hashlib
import json
import threading
import uuid

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import DBAPIError

from appliance.audit import log
from appliance.audit.log import Action, Actor
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import Role, User
from appliance.errors import AuditUnavailableError
from appliance.tables import audit_event, department

USER = User(uuid.UUID(int=1), "chen", "陈晓", Role.RECRUITER, None, session_id="s-1", address="10.0.0.7")


def append(settings: Settings, **details: object) -> log.AuditEvent:
    with transaction("staff", settings) as tx:
        return log.append(
            tx, Action.POSITION_CREATE, Actor.of(USER), "position", uuid.UUID(int=9), details=details
        )


def bodies(settings: Settings) -> list[str]:
    with transaction("auditor", settings) as tx:
        return list(tx.scalars(select(audit_event.c.body).order_by(audit_event.c.seq)))


def test_a_body_alone_carries_the_event_its_moment_its_writer_and_its_place(settings: Settings) -> None:
    before = dt.datetime.now(dt.UTC)
    first, second = append(settings, title='工程师 "一"\\\n🎋'), append(settings)
    texts = bodies(settings)
    parsed = [json.loads(body) for body in texts]
    assert parsed[0]["event"] == {
        "id": str(first.id),
        "action": "position:create",
        "actor": {"kind": "account", "id": str(uuid.UUID(int=1)), "name": "chen", "role": "recruiter",
                  "address": "10.0.0.7", "session": "s-1"},
        "object": {"type": "position", "id": str(uuid.UUID(int=9))},
        "outcome": "ok",
        "details": {"title": "工程师 \"一\"\\\n🎋"},
    }  # fmt: skip
    assert (parsed[0]["seq"], parsed[0]["by"], parsed[0]["prev"]) == (1, "fupan_staff", "00" * 32)
    at = dt.datetime.fromisoformat(parsed[0]["at"])
    assert abs((at - before).total_seconds()) < 10
    assert all(log.canonical(event) == body for event, body in zip(parsed, texts, strict=True))
    assert parsed[1]["prev"] == hashlib.sha256(texts[0].encode()).hexdigest() == first.hash.hex()
    assert second.seq == 2


def test_the_other_columns_come_from_the_body(settings: Settings) -> None:
    event = append(settings)
    with transaction("auditor", settings) as tx:
        row = tx.execute(select(audit_event)).one()
    assert (row.id, row.seq, row.action, row.outcome) == (event.id, 1, "position:create", "ok")
    assert (row.actor, row.object_type, row.object_id) == (
        str(uuid.UUID(int=1)), "position", str(uuid.UUID(int=9))
    )  # fmt: skip
    assert row.at == dt.datetime.fromisoformat(json.loads(row.body)["at"])


def test_an_event_rolls_back_with_its_change(settings: Settings) -> None:
    with transaction("staff", settings) as tx:
        kept = log.append(tx, Action.AUDIT_READ, Actor.unit("cli"), "audit", "log")
        tx.execute(text("SAVEPOINT before"))
        log.append(tx, Action.AUDIT_READ, Actor.unit("cli"), "audit", "log")
        tx.execute(text("ROLLBACK TO before"))
    after = append(settings)
    assert (kept.seq, after.seq) == (1, 2)
    with transaction("auditor", settings) as tx:
        assert log.verify(tx) == log.Verification(2, after.hash)


def test_a_denial_is_recorded_in_its_own_transaction(settings: Settings) -> None:
    log.denied(Action.ACCESS_DENIED, Actor.of(USER), "recording", uuid.UUID(int=3), "role", settings=settings)
    (body,) = bodies(settings)
    assert json.loads(body)["event"]["outcome"] == "denied"
    assert json.loads(body)["event"]["reason"] == "role"


def test_writers_at_once_make_one_unbroken_chain(settings: Settings) -> None:
    def write() -> None:
        for _ in range(25):
            append(settings)

    writers = [threading.Thread(target=write) for _ in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with transaction("auditor", settings) as tx:
        found = log.verify(tx)
    assert (found.ok, found.count) == (True, 150)


def test_a_head_held_by_another_for_two_seconds_refuses_the_action(settings: Settings) -> None:
    with transaction("owner", settings) as holder:
        holder.execute(text("SELECT * FROM audit_head FOR UPDATE"))
        with pytest.raises(AuditUnavailableError):
            create_department_and_record_it(settings)
    with transaction("staff", settings) as tx:
        assert tx.scalars(select(department.c.id)).all() == []


def create_department_and_record_it(settings: Settings) -> None:
    with transaction("staff", settings) as tx:
        tx.execute(insert(department).values(id=uuid.uuid4(), name="销售部"))
        log.append(tx, Action.ACCOUNT_CHANGE, Actor.of(USER), "department", "x")


@pytest.mark.parametrize("event", ["[]", "null", "{", '{"id":"x"}', '{"a":1},"prev":"","seq":9}'])
def test_the_function_takes_only_whole_events(settings: Settings, event: str) -> None:
    with pytest.raises(DBAPIError), transaction("staff", settings) as tx:
        tx.execute(text("SELECT audit_append(:event)"), {"event": event})
    assert bodies(settings) == []


def test_key_use_states_utc_with_milliseconds() -> None:
    until = dt.datetime(2026, 11, 21, 14, 2, 0, 123456, tzinfo=dt.timezone(dt.timedelta(hours=8)))
    assert log.key_use(uuid.UUID(int=5), "replay", "staff", until) == {
        "recording": str(uuid.UUID(int=5)),
        "purpose": "replay",
        "unit": "staff",
        "expires": "2026-11-21T06:02:00.123Z",
    }
