"""The embedded default's own PostgreSQL, and the watch over it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psycopg2
import pytest

from appliance.embedded import accounts, site, start
from appliance.embedded.accounts import Account
from appliance.embedded.layout import Layout
from appliance.embedded.postgres import PORT, SUPERUSER, EmbeddedPostgres
from appliance.errors import ConfigurationError
from tests.support.waiting import until

PASSWORD = "correct horse"


def query(server: EmbeddedPostgres, sql: str) -> object:
    connection = psycopg2.connect(
        host=str(server.socket), port=PORT, user=SUPERUSER, password=PASSWORD, dbname="postgres"
    )
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()[0]
    finally:
        connection.close()


class _Watched:
    """A supervisor that gave its worker up and ends at the third look."""

    def __init__(self) -> None:
        self.looks = 0

    def wait(self, _seconds: float) -> int | None:
        self.looks += 1
        return 3 if self.looks > 2 else None

    def states(self) -> dict[str, str]:
        return {"worker": "FATAL", "staff": "RUNNING"}


def test_state_survives_a_stop_and_a_kill(folder: Path, account: Account) -> None:
    server = EmbeddedPostgres(folder / "postgres", account)
    server.start(PASSWORD)
    try:
        query(server, "CREATE TABLE kept AS SELECT 7 AS n; SELECT 1")
        assert query(server, "SELECT datctype FROM pg_database WHERE datname = 'postgres'") == "C.UTF-8"
        assert query(server, "SHOW listen_addresses") == ""
        server.stop()
        assert not server.is_running()
        server.stop()
        server.start(PASSWORD)
        assert query(server, "SELECT n FROM kept") == 7
        pid = int((server.cluster / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        until(lambda: not server.is_running())
        server.start(PASSWORD)
        assert query(server, "SELECT n FROM kept") == 7
    finally:
        server.stop()


def test_a_killed_server_is_started_again_and_it_is_said(folder: Path, account: Account) -> None:
    layout = Layout(folder)
    layout.secrets.mkdir()
    password = site.database_passwords(layout)["superuser"]
    server = EmbeddedPostgres(layout.postgres, account)
    supervisor, said = _Watched(), []
    server.start(password)
    try:
        pid = int((server.cluster / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        until(lambda: not server.is_running())
        with pytest.raises(ConfigurationError, match="exit code 3"):
            start._stay(supervisor, server, layout, said.append)
        assert server.is_running()
    finally:
        server.stop()
    assert sum("PostgreSQL had ended" in line for line in said) == 1
    assert sum("worker does not start" in line for line in said) == 1


def test_a_server_that_cannot_start_is_told_once_with_its_reason(folder: Path, account: Account) -> None:
    layout = Layout(folder)
    layout.secrets.mkdir()
    password = site.database_passwords(layout)["superuser"]
    server = EmbeddedPostgres(layout.postgres, account)
    server.start(password)
    server.stop()
    (server.cluster / "pg_wal").rename(server.cluster / "kept")
    said: list[str] = []
    with pytest.raises(ConfigurationError, match="exit code 3"):
        start._stay(_Watched(), server, layout, said.append)
    told = [line for line in said if "PostgreSQL" in line]
    assert len(told) == 1
    assert "pg_wal" in told[0]
    assert "cannot start" not in told[0]


def test_a_disk_that_is_full_keeps_the_watch_going(
    folder: Path, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    server = EmbeddedPostgres(folder / "postgres", account)
    monkeypatch.setattr(EmbeddedPostgres, "is_running", lambda _server: False)
    monkeypatch.setattr(EmbeddedPostgres, "start", full)
    assert "No space left" in start._keep_database(server, "password", print)


def test_a_wrong_password_is_refused(folder: Path, account: Account) -> None:
    server = EmbeddedPostgres(folder / "postgres", account)
    server.start("another one")
    try:
        with pytest.raises(psycopg2.OperationalError, match="password"):
            query(server, "SELECT 1")
    finally:
        server.stop()


def test_nothing_of_a_statement_reaches_the_log(folder: Path, account: Account) -> None:
    server = EmbeddedPostgres(folder / "postgres", account)
    server.start(PASSWORD)
    try:
        with pytest.raises(psycopg2.Error):
            query(server, "SELECT 'canary-4711'::int")
    finally:
        server.stop()
    assert b"canary-4711" not in b"".join(path.read_bytes() for path in server.logs.iterdir())


def test_an_interrupted_first_start_is_taken_up_again(folder: Path, account: Account) -> None:
    server = EmbeddedPostgres(folder / "postgres", account)
    (server.root / "cluster.unfinished").mkdir(parents=True)
    (server.root / "software" / "18.6.3.unfinished").mkdir(parents=True)
    accounts.give(server.root, account)
    server.start(PASSWORD)
    server.stop()


def test_another_version_is_refused_before_it_starts(folder: Path, account: Account) -> None:
    server = EmbeddedPostgres(folder / "postgres", account)
    server.start(PASSWORD)
    server.stop()
    (server.cluster / "PG_VERSION").write_text("14\n")
    with pytest.raises(ConfigurationError, match="written by PostgreSQL 14"):
        server.start(PASSWORD)
