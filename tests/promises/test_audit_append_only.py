"""Promise: the audit log only grows, and any change to it is found and named.

No database role can change an entry. Who goes around the database (its superuser, its files) is found by the
chain; who rewrites the chain to its end is found by anyone who kept an earlier head.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Callable
from typing import get_args

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from appliance.audit import log
from appliance.audit.log import Action, Actor, verify_chain
from appliance.config import Settings
from appliance.database import DatabaseRole, transaction
from appliance.tables import audit_event
from tests.support import postgres

pytestmark = pytest.mark.promise

Row = tuple[int, str, bytes]
Record = Callable[[str, object], None]

STATEMENTS = [
    "UPDATE audit_event SET body = replace(body, 'ok', 'no')",
    "UPDATE audit_event SET hash = hash",
    "DELETE FROM audit_event",
    "DELETE FROM audit_event WHERE false",
    "TRUNCATE audit_event CASCADE",
    "TRUNCATE audit_head",
    "DELETE FROM audit_head",
]
# The owner could do these, and then the chain tells; no process of the product runs as the owner.
FOR_APPLICATION_ROLES = [
    "INSERT INTO audit_event (seq, body, hash) VALUES (99, '{}', '')",
    "UPDATE audit_head SET seq = 0",
    "INSERT INTO audit_head (seq, hash) VALUES (0, '')",
    "ALTER TABLE audit_event DISABLE TRIGGER audit_event_append_only",
    "DROP TRIGGER audit_event_append_only ON audit_event",
    "DROP TABLE audit_event CASCADE",
    "DROP FUNCTION audit_append(text)",
    "CREATE OR REPLACE FUNCTION audit_append(event text, OUT seq bigint, OUT hash bytea)"
    " LANGUAGE sql AS 'SELECT 1::bigint, NULL::bytea'",
    "SET session_replication_role = replica",
]


def write(settings: Settings, count: int) -> None:
    with transaction("staff", settings) as tx:
        for number in range(count):
            log.append(tx, Action.AUDIT_READ, Actor.unit("test"), "thing", str(number))


def rows_of(settings: Settings) -> list[Row]:
    with transaction("auditor", settings) as tx:
        found = tx.execute(
            select(audit_event.c.seq, audit_event.c.body, audit_event.c.hash).order_by(audit_event.c.seq)
        )
        return [(row.seq, row.body, bytes(row.hash)) for row in found]


def test_no_database_role_can_change_what_was_written(settings: Settings, record_property: Record) -> None:
    write(settings, 3)
    before, refused = rows_of(settings), 0
    for role in get_args(DatabaseRole):
        for statement in STATEMENTS + (FOR_APPLICATION_ROLES if role != "owner" else []):
            with pytest.raises(DBAPIError, match=r"permission denied|append-only|must be owner"):
                run(settings, role, statement)
            refused += 1
    assert rows_of(settings) == before
    write(settings, 1)
    with transaction("auditor", settings) as tx:
        assert log.verify(tx).count == 4
    record_property(
        "figure", f"{refused} of {refused} attempts by {len(get_args(DatabaseRole))} roles refused"
    )


def run(settings: Settings, role: DatabaseRole, statement: str) -> None:
    with transaction(role, settings) as tx:
        tx.execute(text(statement))


def test_the_function_cannot_be_led_to_other_tables(cluster: postgres.Cluster, settings: Settings) -> None:
    """It runs with the owner's rights, so names in the caller's temporary schema must not reach it."""
    with cluster.superuser(settings.database.name) as superuser:  # our roles may not even make such tables
        superuser.execute(text(f'GRANT TEMPORARY ON DATABASE "{settings.database.name}" TO fupan_staff'))
    with transaction("staff", settings) as tx:
        tx.execute(text("CREATE TEMPORARY TABLE audit_head (single bool, seq bigint, hash bytea)"))
        tx.execute(text("CREATE TEMPORARY TABLE audit_event (seq bigint, body text, hash bytea)"))
        tx.execute(text("SET LOCAL search_path = pg_temp, public"))
        log.append(tx, Action.AUDIT_READ, Actor.unit("test"), "thing", "1")
    assert len(rows_of(settings)) == 1


@pytest.mark.parametrize("count", [300, pytest.param(1000, marks=pytest.mark.long)])
def test_every_change_drop_insertion_and_swap_is_found_and_named(
    settings: Settings, count: int, record_property: Record
) -> None:
    write(settings, count)
    rows, rng, found = rows_of(settings), random.Random(1), 0
    assert verify_chain(rows) == log.Verification(count, rows[-1][2])
    for index, (seq, body, digest) in enumerate(rows):
        before, after = rows[:index], rows[index + 1 :]
        at = rng.randrange(len(body))
        altered = body[:at] + chr(ord(body[at]) ^ 1) + body[at + 1 :]
        forged = hashlib.sha256(altered.encode()).digest()
        assert verify_chain([*before, (seq, altered, digest), *after]).bad_seq == seq
        assert verify_chain([*before, rows[index], rows[index], *after]).bad_seq == seq + 1
        covered = verify_chain([*before, (seq, altered, forged), *after])
        found += 3
        if after:
            # with a hash that fits, the entry itself may pass, and then the next one does not follow
            assert covered.bad_seq in (seq, seq + 1)
            assert verify_chain([*before, *after]).bad_seq == seq
            assert verify_chain([*before, after[0], rows[index], *after[1:]]).bad_seq == seq
            found += 2
        else:
            assert covered.head != digest  # the last entry has no follower: the head row tells
    record_property("figure", f"{found} of {found} alterations of {count} entries found and named")


def test_a_rewritten_or_cut_end_is_found_with_a_head_kept_elsewhere(settings: Settings) -> None:
    write(settings, 20)
    rows = rows_of(settings)
    kept = rows[11]  # what an outsider noted: entry 12 and its hash
    forged, previous = [], log.START
    for seq, body, _ in rows:
        text_of = body.replace(f'"id":"{seq - 1}"', '"id":"another"') if seq == 5 else body
        text_of = text_of[: text_of.rindex(',"prev":')] + f',"prev":"{previous.hex()}","seq":{seq}}}'
        previous = hashlib.sha256(text_of.encode()).digest()
        forged.append((seq, text_of, previous))
    assert verify_chain(forged).ok  # whole in itself
    assert forged[11][2] != kept[2]
    cut = verify_chain(itertools.islice(rows, 8))
    assert cut.ok
    assert cut.count < kept[0]


@pytest.mark.parametrize(
    ("statement", "bad"),
    [
        ("UPDATE audit_event SET body = replace(body, '\"test\"', '\"else\"') WHERE seq = 4", 4),
        ("DELETE FROM audit_event WHERE seq = 7", 7),
        ("DELETE FROM audit_event WHERE seq > 8", 9),
        ("UPDATE audit_event SET seq = 99 WHERE seq = 10", 10),
    ],
    ids=["changed", "dropped", "cut", "renumbered"],
)
def test_what_a_superuser_changes_is_found(
    cluster: postgres.Cluster, settings: Settings, statement: str, bad: int
) -> None:
    write(settings, 10)
    with cluster.superuser(settings.database.name) as superuser:
        superuser.execute(text("SET session_replication_role = replica"))
        superuser.execute(text(statement))
    with transaction("auditor", settings) as tx:
        assert log.verify(tx).bad_seq == bad
