"""PostgreSQL: one engine per role, one way to open a transaction, migrations, a new cluster.

    with transaction("staff") as tx:
        tx.execute(...)

commits when the block ends and rolls back when it raises. Every failure of the server itself is a
DatabaseDownError. Processes find their settings by FUPAN_CONFIG; tests may hand them over.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, NullPool, create_engine, exc, text

from appliance import config
from appliance.config import DATABASE_ROLES, Settings
from appliance.errors import DatabaseDownError

DatabaseRole = Literal["owner", "staff", "worker", "keyholder", "auditor"]

CONNECT_SECONDS = 3
POOL_SECONDS = 5
SESSION_OPTIONS = (
    "-c timezone=UTC -c lock_timeout=5s -c statement_timeout=30s -c idle_in_transaction_session_timeout=60s"
)
MIGRATIONS = Path(__file__).parent / "migrations"


@contextlib.contextmanager
def transaction(role: DatabaseRole, settings: Settings | None = None) -> Iterator[Connection]:
    """A transaction as one database role. Raises DatabaseDownError when the server does not answer,
    is shutting down, or keeps a lock or statement waiting beyond its limit."""
    with _server_failures(), engine(role, settings or _own_settings()).begin() as connection:
        yield connection


@functools.cache
def engine(role: DatabaseRole, settings: Settings) -> Engine:
    """The pooled engine of a role; opens no connection by itself."""
    return create_engine(
        settings.database_url(role),
        pool_pre_ping=True,
        pool_size=4,
        max_overflow=12,
        pool_timeout=POOL_SECONDS,
        use_native_hstore=False,  # no column is one, and each new connection would look for the type
        connect_args=_connect_args(role, SESSION_OPTIONS),
        json_serializer=functools.partial(json.dumps, ensure_ascii=False),
    )


def dispose(settings: Settings) -> None:
    """Close every pooled connection of this process to the site's database."""
    for role in DATABASE_ROLES:
        engine(role, settings).dispose()


def migrate(settings: Settings) -> None:
    """Bring the schema to this release, as the owner; does nothing when it is there already."""
    with _server_failures(), _owner(settings) as connection:
        command.upgrade(_alembic(connection), "head")


def version(settings: Settings, role: DatabaseRole = "staff") -> str | None:
    """The revision the database is at; None before the first migration."""
    with transaction(role, settings) as tx:
        if tx.scalar(text("SELECT to_regclass('public.alembic_version')")) is None:
            return None
        found: str | None = tx.scalar(text("SELECT version_num FROM alembic_version"))
        return found


def prepare_cluster(superuser_url: str, passwords: Mapping[str, str], name: str = "fupan") -> None:
    """Create what the owner may not create for itself: five login roles and the database. Idempotent.

    `superuser_url` leads to the cluster's `postgres` database; `passwords` maps each of
    config.DATABASE_ROLES to its password. The roles are ordinary: no superuser, no role or database
    creation, no bypass of row security.
    """
    superuser = create_engine(superuser_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with _server_failures(), superuser.connect() as connection:
        for role in DATABASE_ROLES:
            _create_role(connection, f"fupan_{role}", passwords[role])
        if not connection.scalar(text("SELECT 1 FROM pg_database WHERE datname = :name"), {"name": name}):
            create_database(connection, name)


def create_database(connection: Connection, name: str, template: str = "template0") -> None:
    """One database of the product: UTF8 with C.UTF-8, where pg_trgm sees Chinese; closed to others."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    connection.execute(
        text(
            f"CREATE DATABASE {quote(name)} OWNER fupan_owner TEMPLATE {quote(template)} "
            "ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'"
        )
    )
    everyone = ", ".join(f"fupan_{role}" for role in DATABASE_ROLES)
    connection.execute(text(f"REVOKE ALL ON DATABASE {quote(name)} FROM PUBLIC"))
    connection.execute(text(f"GRANT CONNECT ON DATABASE {quote(name)} TO {everyone}"))


def _create_role(connection: Connection, role: str, password: str) -> None:
    exists = connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role})
    verb = "ALTER" if exists else "CREATE"
    literal = "'" + password.replace("'", "''") + "'"
    # exec_driver_sql: a password may hold colons, which text() would read as parameters.
    connection.exec_driver_sql(
        f"{verb} ROLE {role} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS "
        f"PASSWORD {literal.replace('%', '%%')}"
    )


@contextlib.contextmanager
def _owner(settings: Settings) -> Iterator[Connection]:
    # Migrations may run long: no statement limit, but they never queue behind a lock for long.
    options = "-c timezone=UTC -c lock_timeout=5s"
    unpooled = create_engine(
        settings.database_url("owner"), poolclass=NullPool, connect_args=_connect_args("owner", options)
    )
    with unpooled.connect() as connection:
        yield connection


def _alembic(connection: Connection) -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS))
    configuration.attributes["connection"] = connection
    return configuration


def _connect_args(role: str, options: str) -> dict[str, Any]:
    return {
        "options": options,
        "connect_timeout": CONNECT_SECONDS,
        "application_name": f"fupan-{role}",
    }


@contextlib.contextmanager
def _server_failures() -> Iterator[None]:
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
        raise DatabaseDownError() from error
    except exc.DBAPIError as error:
        if error.connection_invalidated:
            raise DatabaseDownError() from error
        raise


def _own_settings() -> Settings:
    return _settings_at(os.environ.get("FUPAN_CONFIG"))


@functools.cache
def _settings_at(path: str | None) -> Settings:
    return config.load(path)
