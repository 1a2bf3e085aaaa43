"""A real PostgreSQL cluster on a Unix socket in a temporary folder, started once per test session.

PostgreSQL refuses to run as root, so a root session runs it as `postgres` or `nobody`.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, NullPool, create_engine, make_url, text

from appliance import database
from appliance.config import DATABASE_ROLES, Database, Settings

DEBIAN_BIN = Path("/usr/lib/postgresql/15/bin")
TEMPLATE = "fupan_template"
MEMORY_BYTES = 4 << 30


@dataclass(frozen=True)
class Cluster:
    """A running cluster: `socket` is the folder of its Unix socket."""

    bin: Path
    folder: Path
    user: str | None
    passwords: dict[str, str] = field(repr=False)
    lasting: bool = False

    @property
    def socket(self) -> Path:
        return self.folder

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def superuser_url(self) -> str:
        return f"postgresql+psycopg2://postgres:{self.passwords['superuser']}@/postgres?host={self.socket}"

    def start(self) -> None:
        options = f"-c listen_addresses='' -k {self.socket}"
        if not self.lasting:
            options += " -c fsync=off -c full_page_writes=off"
        self._run("pg_ctl", "-D", self.data, "-l", self.folder / "log", "-w", "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop")

    def initialise(self) -> None:
        password = self.folder / "password"
        password.write_text(self.passwords["superuser"])
        self._run(
            "initdb", "-D", self.data, "-U", "postgres", "--pwfile", password, "--no-sync",
            "--auth-local=scram-sha-256", "--auth-host=reject", "--encoding=UTF8", "--locale=C.UTF-8",
        )  # fmt: skip

    def database(self, name: str) -> Database:
        return Database(host=str(self.socket), name=name)

    def create(self, name: str, template: str) -> None:
        with self.superuser() as connection:
            database.create_database(connection, name, template)

    def drop(self, name: str) -> None:
        with self.superuser() as connection:
            connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))

    @contextlib.contextmanager
    def superuser(self, database: str = "postgres") -> Iterator[Connection]:
        """A connection that the product never has."""
        url = make_url(self.superuser_url).set(database=database)
        engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            yield connection

    def _run(self, program: str, *arguments: object) -> None:
        # Output goes to a file: a started server keeps its parent's pipes open.
        with (self.folder / "commands").open("ab") as output:
            subprocess.run(
                [str(self.bin / program), *map(str, arguments)],
                check=True,
                user=self.user,
                group=pwd.getpwnam(self.user).pw_gid if self.user else None,
                extra_groups=[] if self.user else None,
                cwd=self.folder,
                stdout=output,
                stderr=output,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            )


@contextlib.contextmanager
def running_cluster(bin_folder: Path = DEBIAN_BIN, *, lasting: bool = False) -> Iterator[Cluster]:
    """A fresh cluster with the product's roles and a migrated template database; gone afterwards.

    `lasting`: a commit waits for the disk, as in the product; tests do without.
    """
    user = _unprivileged_user() if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="fupan-pg-", dir=None if lasting else _memory()))
    if user:
        shutil.chown(folder, user, pwd.getpwnam(user).pw_gid)
    passwords = {role: secrets.token_hex(8) for role in (*DATABASE_ROLES, "superuser")}
    cluster = Cluster(bin_folder, folder, user, passwords, lasting)
    try:
        cluster.initialise()
        cluster.start()
        try:
            database.prepare_cluster(cluster.superuser_url, cluster.passwords, TEMPLATE)
            database.migrate(site(folder / "template-site", cluster, TEMPLATE))
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _memory() -> Path | None:
    """A folder in memory, where a copy of the template takes a fifth of the time; None without room there."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and shutil.disk_usage(memory).free > MEMORY_BYTES else None


def site(data: Path, cluster: Cluster, name: str) -> Settings:
    """Settings of a site whose data folder is `data` and whose database is `name`; writes its files."""
    for folder in ("secrets", "run", "intake", "vault", "keys", "mail", "models"):
        (data / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
    passwords = data / "secrets" / "database.json"
    passwords.write_text(json.dumps(cluster.passwords))
    passwords.chmod(0o600)
    where = cluster.database(name)
    (data / "fupan.toml").write_text(
        f'data = "{data}"\nstaff_url = "{STAFF_URL}"\nintake_url = "{INTAKE_URL}"\n'
        f'[database]\nhost = "{where.host}"\nname = "{where.name}"\n'
    )
    return Settings(data=data, staff_url=STAFF_URL, intake_url=INTAKE_URL, database=where)


STAFF_URL = "http://staff.fupan.test"
INTAKE_URL = "http://intake.fupan.test"


def new_name() -> str:
    return f"fupan_test_{uuid.uuid4().hex[:12]}"


def _unprivileged_user() -> str:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise RuntimeError("PostgreSQL refuses to run as root and neither postgres nor nobody exists")
