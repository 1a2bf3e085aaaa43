from __future__ import annotations

import contextlib
import json
import uuid
from dataclasses import replace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, select, text
from sqlalchemy.exc import ProgrammingError

from appliance import database
from appliance.config import Settings
from appliance.errors import DatabaseDownError
from appliance.tables import account, department, metadata
from tests.support import postgres

NEWEST = "0018"


def test_migrations_make_exactly_the_tables_in_the_code(settings: Settings) -> None:
    def ours(_object: object, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
        return not (kind == "table" and name and name.startswith(("procrastinate_", "alembic_")))

    with database.transaction("owner", settings) as tx:
        context = MigrationContext.configure(
            tx, opts={"include_object": ours, "compare_type": True, "compare_server_default": False}
        )
        assert compare_metadata(context, metadata) == []


def test_migrate_twice_changes_nothing(settings: Settings) -> None:
    before = database.version(settings)
    database.migrate(settings)
    assert database.version(settings) == before == NEWEST


def test_a_database_without_tables_has_no_version(cluster: postgres.Cluster, settings: Settings) -> None:
    name = postgres.new_name()
    cluster.create(name, "template0")
    empty = replace(settings, database=cluster.database(name))
    assert database.version(empty, "owner") is None
    database.dispose(empty)
    cluster.drop(name)


def test_transaction_commits_at_the_end_and_rolls_back_on_error(settings: Settings) -> None:
    with database.transaction("staff", settings) as tx:
        tx.execute(insert(department).values(id=uuid.uuid4(), name="研发部"))
    with contextlib.suppress(RuntimeError), database.transaction("staff", settings) as tx:
        tx.execute(insert(department).values(id=uuid.uuid4(), name="gone"))
        raise RuntimeError
    with database.transaction("staff", settings) as tx:
        assert tx.scalars(select(department.c.name)).all() == ["研发部"]


def test_transaction_finds_its_settings_by_the_environment(settings: Settings) -> None:
    with database.transaction("auditor") as tx:
        assert tx.scalar(text("SELECT current_database()")) == settings.database.name
        assert tx.scalar(text("SELECT session_user")) == "fupan_auditor"


def test_nothing_runs_as_superuser_and_the_collation_knows_chinese(settings: Settings) -> None:
    with database.transaction("staff", settings) as tx:
        roles = tx.execute(
            text(
                "SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls FROM pg_roles"
                " WHERE rolname LIKE 'fupan%' ORDER BY 1"
            )
        ).all()
        assert [row[0] for row in roles] == [
            "fupan_auditor", "fupan_keyholder", "fupan_owner", "fupan_staff", "fupan_worker",
        ]  # fmt: skip
        assert not any(value for row in roles for value in row[1:])
        assert tx.scalar(
            text("SELECT datcollate || pg_encoding_to_char(encoding) FROM pg_database"
                 " WHERE datname = current_database()")
        ) == "C.UTF-8UTF8"  # fmt: skip


def test_preparing_again_keeps_the_data_and_sets_the_passwords(
    cluster: postgres.Cluster, settings: Settings
) -> None:
    odd = "it's:100%s"
    passwords = settings.secrets_folder / "database.json"
    passwords.write_text(json.dumps({**cluster.passwords, "auditor": odd}))
    with pytest.raises(DatabaseDownError):
        database.version(settings, "auditor")
    name = settings.database.name
    try:
        database.prepare_cluster(cluster.superuser_url, {**cluster.passwords, "auditor": odd}, name)
        database.engine.cache_clear()
        assert database.version(settings, "auditor") == NEWEST
    finally:
        database.prepare_cluster(cluster.superuser_url, cluster.passwords, name)


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("worker", "SELECT password_hash FROM account"),
        ("worker", "SELECT * FROM session"),
        ("worker", "SELECT * FROM audit_event"),
        ("keyholder", "SELECT * FROM candidate"),
        ("keyholder", "SELECT figures FROM analysis"),
        ("keyholder", "UPDATE recording SET state = 'sealed'"),
        ("keyholder", "SELECT audit_append('{}')"),
        ("auditor", "SELECT * FROM account"),
        ("auditor", "SELECT * FROM attempt"),
        ("staff", "UPDATE recording SET state = 'sealed'"),
        ("staff", "INSERT INTO browser_key VALUES (gen_random_uuid(), 1, '')"),
        ("staff", "SELECT * FROM audit_event"),
        ("staff", "CREATE TABLE mine (id int)"),
    ],
)
def test_roles_may_not_do_what_is_not_theirs(
    settings: Settings, role: database.DatabaseRole, statement: str
) -> None:
    with (
        pytest.raises(ProgrammingError, match="permission denied"),
        database.transaction(role, settings) as tx,
    ):
        tx.execute(text(statement))


def test_a_server_that_is_not_there_is_a_typed_error(settings: Settings) -> None:
    away = replace(settings, database=replace(settings.database, host=str(settings.run_folder)))
    with pytest.raises(DatabaseDownError), database.transaction("staff", away):
        pass
    with pytest.raises(DatabaseDownError):
        database.migrate(away)


def test_a_connection_cut_in_the_middle_is_a_typed_error_and_the_next_works(
    cluster: postgres.Cluster, settings: Settings
) -> None:
    def cut(pid: int) -> None:
        with cluster.superuser() as connection:
            connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})

    def work_on_while_cut() -> None:
        with database.transaction("staff", settings) as tx:
            cut(tx.scalar(text("SELECT pg_backend_pid()")))
            tx.execute(select(account.c.id))

    with pytest.raises(DatabaseDownError):
        work_on_while_cut()
    with database.transaction("staff", settings) as tx:
        idle = tx.scalar(text("SELECT pg_backend_pid()"))
    cut(idle)
    with database.transaction("staff", settings) as tx:
        assert tx.scalar(select(account.c.id)) is None
