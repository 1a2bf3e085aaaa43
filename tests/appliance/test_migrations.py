"""What a migration does to a database that an earlier release filled."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, text

from appliance import consents, database
from appliance.config import Settings
from tests.support import postgres


@pytest.fixture
def old(cluster: postgres.Cluster, settings: Settings) -> Iterator[Settings]:
    """A site whose database is as the first release made it."""
    name = postgres.new_name()
    cluster.create(name, "template0")
    made = replace(settings, database=cluster.database(name))
    with database._owner(made) as connection:
        command.upgrade(database._alembic(connection), "0001")
    yield made
    database.dispose(made)
    cluster.drop(name)


def fill(tx: Connection, table: str, **values: Any) -> None:
    names = ", ".join(values)
    tx.execute(
        text(f"INSERT INTO {table} ({names}) VALUES ({', '.join(':' + each for each in values)})"), values
    )


def an_attempt(tx: Connection) -> uuid.UUID:
    place, job, person, made = (uuid.uuid4() for _ in range(4))
    fill(tx, "department", id=place, name="研发部")
    fill(
        tx,
        "position",
        id=job,
        department_id=place,
        title="x",
        language="zh",
        policy="{}",
        competency_model="[]",
    )
    fill(tx, "candidate", id=person, name="x", email="x@example.com", department_id=place)
    fill(tx, "attempt", id=made, position_id=job, candidate_id=person, deadline="2026-12-01T00:00:00Z")
    return made


def test_consents_of_an_earlier_release_take_the_order_of_their_records(old: Settings) -> None:
    told = [
        (3, "consent", "2026-11-21T08:00:00Z", True),
        (7, "consent_withdrawn", "2026-11-21T07:59:00Z", False),
    ]
    with database.transaction("owner", old) as tx:
        made = an_attempt(tx)
        for seq, kind, at, granted in told:
            body = f'{{"signature": "{kind}"}}'
            fill(tx, "intake_record", attempt_id=made, seq=seq, kind=kind, at=at, body=body)
            fill(
                tx, "consent", id=uuid.uuid4(), attempt_id=made, purpose="analysis", granted=granted,
                text_sha256="0" * 64, language="zh", at=at, receipt=body,
            )  # fmt: skip
        fill(
            tx, "consent", id=uuid.uuid4(), attempt_id=made, purpose="record", granted=True,
            text_sha256="0" * 64, language="zh", at="2026-11-21T08:30:00Z", receipt="{}",
        )  # fmt: skip
    database.migrate(old)
    with database.transaction("worker", old) as tx:
        now = consents.newest(tx, made)
        assert {purpose: (row.seq, row.granted) for purpose, row in now.items()} == {
            "analysis": (7, False),
            "record": (7, True),
        }
