"""The embedded default's parts: its own PostgreSQL, checks, addresses, certificate, settings, supervisor."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from appliance.embedded import accounts, certificate, checks, site, start
from appliance.embedded import address as embedded_address
from appliance.embedded.accounts import Account
from appliance.embedded.address import resolve
from appliance.embedded.layout import Layout
from appliance.embedded.postgres import PORT, SUPERUSER, EmbeddedPostgres
from appliance.embedded.supervisor import Program, Supervisor, await_previous, configuration
from appliance.errors import ConfigurationError

PASSWORD = "correct horse"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path that PostgreSQL's user can reach, which pytest's own below a private home is not."""
    made = Path(tempfile.mkdtemp(prefix="fupan-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def account() -> Account:
    return accounts.unprivileged() if os.geteuid() == 0 else Account.current()


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


class TestPostgres:
    def test_state_survives_a_stop_and_a_kill(self, folder: Path, account: Account) -> None:
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
            _wait_for(lambda: not server.is_running())
            server.start(PASSWORD)
            assert query(server, "SELECT n FROM kept") == 7
        finally:
            server.stop()

    def test_a_killed_server_is_started_again_and_it_is_said(self, folder: Path, account: Account) -> None:
        layout = Layout(folder)
        layout.secrets.mkdir()
        password = site.database_passwords(layout)["superuser"]
        server = EmbeddedPostgres(layout.postgres, account)
        supervisor, said = _Watched(), []
        server.start(password)
        try:
            pid = int((server.cluster / "postmaster.pid").read_text().split()[0])
            os.kill(pid, signal.SIGKILL)
            _wait_for(lambda: not server.is_running())
            with pytest.raises(ConfigurationError, match="exit code 3"):
                start._stay(supervisor, server, layout, said.append)
            assert server.is_running()
        finally:
            server.stop()
        assert sum("PostgreSQL had ended" in line for line in said) == 1
        assert sum("worker does not start" in line for line in said) == 1

    def test_a_server_that_cannot_start_is_told_once_with_its_reason(
        self, folder: Path, account: Account
    ) -> None:
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
        self, folder: Path, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        server = EmbeddedPostgres(folder / "postgres", account)
        monkeypatch.setattr(EmbeddedPostgres, "is_running", lambda _server: False)
        monkeypatch.setattr(EmbeddedPostgres, "start", full)
        assert "No space left" in start._keep_database(server, "password", print)

    def test_a_wrong_password_is_refused(self, folder: Path, account: Account) -> None:
        server = EmbeddedPostgres(folder / "postgres", account)
        server.start("another one")
        try:
            with pytest.raises(psycopg2.OperationalError, match="password"):
                query(server, "SELECT 1")
        finally:
            server.stop()

    def test_nothing_of_a_statement_reaches_the_log(self, folder: Path, account: Account) -> None:
        server = EmbeddedPostgres(folder / "postgres", account)
        server.start(PASSWORD)
        try:
            with pytest.raises(psycopg2.Error):
                query(server, "SELECT 'canary-4711'::int")
        finally:
            server.stop()
        assert b"canary-4711" not in b"".join(path.read_bytes() for path in server.logs.iterdir())

    def test_an_interrupted_first_start_is_taken_up_again(self, folder: Path, account: Account) -> None:
        server = EmbeddedPostgres(folder / "postgres", account)
        (server.root / "cluster.unfinished").mkdir(parents=True)
        (server.root / "software" / "18.6.3.unfinished").mkdir(parents=True)
        accounts.give(server.root, account)
        server.start(PASSWORD)
        server.stop()

    def test_another_version_is_refused_before_it_starts(self, folder: Path, account: Account) -> None:
        server = EmbeddedPostgres(folder / "postgres", account)
        server.start(PASSWORD)
        server.stop()
        (server.cluster / "PG_VERSION").write_text("14\n")
        with pytest.raises(ConfigurationError, match="written by PostgreSQL 14"):
            server.start(PASSWORD)


class TestChecks:
    def test_a_second_start_is_refused(self, folder: Path) -> None:
        layout = Layout(folder)
        layout.run.mkdir()
        descriptor = checks.lock_start(layout)
        with pytest.raises(ConfigurationError, match=f"already running.*process {os.getpid()}"):
            checks.lock_start(layout)
        os.close(descriptor)
        os.close(checks.lock_start(layout))

    def test_a_busy_port_is_named(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(ConfigurationError, match=f"port {port} is in use.*PORT="):
                checks.check_port("127.0.0.1", port)

    @pytest.mark.parametrize("port", [0, 65536, -1])
    def test_a_number_that_is_no_port_is_refused(self, port: int) -> None:
        with pytest.raises(ConfigurationError, match="is not a port"):
            checks.check_port("127.0.0.1", port)

    def test_an_address_of_another_machine_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="not an address of this machine"):
            checks.check_port("192.0.2.1", 8000)

    def test_a_full_disk_is_told_in_mebibytes(self, folder: Path) -> None:
        with pytest.raises(ConfigurationError, match="MiB free"):
            checks.check_disk(folder, needed=2**62)

    def test_a_folder_that_cannot_be_written_is_named(self, folder: Path) -> None:
        (folder / "file").touch()
        with pytest.raises(ConfigurationError, match="cannot write to"):
            checks.check_writable(folder / "file" / "data")

    def test_a_path_too_long_for_sockets_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="too long for Unix sockets"):
            Layout(Path("/srv") / ("x" * 100))


class TestAddress:
    def test_localhost_gives_the_two_rooms_two_names(self) -> None:
        address = resolve("localhost", 8000)
        assert (address.staff_url, address.intake_url) == ("http://localhost:8000", "http://127.0.0.1:8001")
        assert not address.tls

    def test_another_host_switches_to_tls(self) -> None:
        address = resolve("10.0.0.5", 8443)
        assert (address.bind, address.tls, address.names) == ("10.0.0.5", True, ("10.0.0.5",))
        assert address.staff_url == "https://10.0.0.5:8443"

    def test_version_six_addresses_are_bracketed(self) -> None:
        address = resolve("::1", 8000)
        assert address.staff_url == "https://[::1]:8000"
        assert address.listen(8000) == "[::1]:8000"

    @pytest.mark.parametrize(
        ("full", "shown"), [("localhost", "192.0.2.7"), ("vm", "192.0.2.7"), ("hr.example", "hr.example")]
    )
    def test_everywhere_shows_what_other_machines_can_reach(
        self, full: str, shown: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files = {
            "/proc/net/fib_trie": ["|-- 127.0.0.1", "/32 host LOCAL", "|-- 192.0.2.0", "/24 link UNICAST"]
            + ["|-- 192.0.2.7", "/32 host LOCAL"] * 2,
            "/proc/net/if_inet6": [
                "fe800000000000000000000000000001 02 40 20 80 eth0",
                "20010db8000000000000000000000007 02 40 00 80 eth0",
            ],
        }
        monkeypatch.setattr(embedded_address, "_lines", files.__getitem__)
        monkeypatch.setattr(socket, "getfqdn", lambda: full)
        monkeypatch.setattr(socket, "gethostname", lambda: "vm")
        address = resolve("0.0.0.0", 8443)
        assert (address.bind, address.tls) == ("0.0.0.0", True)
        assert address.staff_url == f"https://{shown}:8443"
        assert {"192.0.2.7", "2001:db8::7", "vm", "localhost", "127.0.0.1"} <= set(address.names)
        assert address.names[0] == shown
        assert not [name for name in address.names if name.startswith("fe80")]

    def test_the_real_tables_of_this_machine_are_read(self) -> None:
        for name in resolve("::", 8443).names:
            assert name

    def test_an_unknown_host_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="has no address"):
            resolve("no-such-host.invalid", 8000)


class TestCertificate:
    def test_it_is_kept_while_it_fits_and_made_anew_for_other_names(self, folder: Path) -> None:
        first = certificate.ensure(folder, ["10.0.0.5", "fupan.example"])
        assert certificate.ensure(folder, ["fupan.example", "10.0.0.5"]) == first
        assert certificate.ensure(folder, ["10.0.0.6"]).fingerprint != first.fingerprint
        assert first.key.stat().st_mode & 0o077 == 0

    def test_a_pair_that_a_crash_left_unfitting_is_made_anew(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        certificate.ensure(folder, ["localhost"])
        whole = Path.replace

        def crash(self: Path, target: Path) -> Path:
            if target.name == "tls.crt":
                raise KeyboardInterrupt
            return whole(self, target)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", crash)
            with pytest.raises(KeyboardInterrupt):
                certificate.ensure(folder, ["10.0.0.7"])
        made = certificate.ensure(folder, ["localhost"])
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(made.certificate, made.key)

    def test_openssl_takes_the_pair(self, folder: Path) -> None:
        made = certificate.ensure(folder, ["localhost"])
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(made.certificate, made.key)


class TestSettings:
    def test_the_administrators_file_is_kept_below_what_a_start_decides(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FUPAN_CONFIG", "")
        layout = Layout(folder)
        layout.run.mkdir()
        layout.site_settings.write_text('site = "Klinik \\"Nord\\""\n[smtp]\nhost = "mail"\n')
        settings = site.write_settings(layout, resolve("localhost", 9000), "/run/pg", 5432)
        assert (settings.site, settings.smtp.host) == ('Klinik "Nord"', "mail")
        assert settings.staff_url == "http://localhost:9000"
        from appliance import config

        assert config.load(layout.settings) == settings

    def test_it_may_not_set_what_a_start_decides(self, folder: Path) -> None:
        layout = Layout(folder)
        layout.run.mkdir()
        layout.site_settings.write_text('staff_url = "http://elsewhere"\n')
        with pytest.raises(ConfigurationError, match="staff_url cannot be set here"):
            site.write_settings(layout, resolve("localhost", 9000), "/run/pg", 5432)

    def test_passwords_are_made_once_and_private(self, folder: Path) -> None:
        layout = Layout(folder)
        layout.secrets.mkdir()
        made = site.database_passwords(layout)
        assert site.database_passwords(layout) == made
        assert len(set(made.values())) == len(made) == 6
        assert (layout.secrets / "database.json").stat().st_mode & 0o077 == 0


class TestSupervisor:
    def test_children_end_with_it_even_when_it_is_killed(self, folder: Path) -> None:
        layout = Layout(folder)
        for each in layout.folders()[1:]:
            each.mkdir(parents=True, exist_ok=True)
        sleeper = (sys.executable, "-c", f"import time; open('{folder}/up', 'w').close(); time.sleep(600)")
        text = configuration(layout, [Program("sleeper", sleeper, 1)], folder)
        layout.supervisor_configuration.write_text(text)
        supervisor = Supervisor(layout)
        supervisor.start({"PATH": os.environ["PATH"]})
        _wait_for((folder / "up").exists)
        _wait_for(lambda: supervisor.states().get("sleeper") in ("STARTING", "RUNNING"))
        child = _child_of(int(layout.supervisor_pid.read_text()))
        os.kill(int(layout.supervisor_pid.read_text()), signal.SIGKILL)
        supervisor.wait()
        _wait_for(lambda: not Path(f"/proc/{child}").exists())

    def test_a_start_waits_until_the_processes_of_a_killed_one_are_gone(self, folder: Path) -> None:
        layout = Layout(folder)
        for each in layout.folders()[1:]:
            each.mkdir(parents=True, exist_ok=True)
        # it takes its time to end, as a worker in the middle of a job
        slow = f"import signal, time; signal.signal(15, lambda *_: None); open('{folder}/up', 'w').close()"
        program = Program("slow", (sys.executable, "-c", f"{slow}; time.sleep(600); time.sleep(600)"), 1)
        layout.supervisor_configuration.write_text(configuration(layout, [program], folder))
        await_previous(layout)
        supervisor = Supervisor(layout)
        supervisor.start({"PATH": os.environ["PATH"]})
        _wait_for((folder / "up").exists)
        child = _child_of(int(layout.supervisor_pid.read_text()))
        os.kill(int(layout.supervisor_pid.read_text()), signal.SIGKILL)
        supervisor.wait()
        with pytest.raises(ConfigurationError, match="earlier start"):
            await_previous(layout, 0.3)
        threading.Timer(0.3, os.kill, (child, signal.SIGKILL)).start()
        await_previous(layout)
        assert not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text()

    def test_percent_signs_in_paths_are_no_formats(self, folder: Path) -> None:
        text = configuration(Layout(folder / "50%"), [Program("one", ("/bin/true", "100%"), 1)], folder)
        assert "50%%" in text
        assert "100%%" in text


class _Watched:
    """A supervisor that gave its worker up and ends at the third look."""

    def __init__(self) -> None:
        self.looks = 0

    def wait(self, _seconds: float) -> int | None:
        self.looks += 1
        return 3 if self.looks > 2 else None

    def states(self) -> dict[str, str]:
        return {"worker": "FATAL", "staff": "RUNNING"}


def _child_of(pid: int) -> int:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=True)
    return int(found.stdout.split()[0])


def _wait_for(condition, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)


def test_a_stop_says_what_it_waits_for(folder: Path) -> None:
    layout = Layout(folder)
    for each in layout.folders():
        each.mkdir(exist_ok=True)
    up = str(folder / "up")
    code = f"import signal, time; signal.signal(15, 1); open({up!r}, 'w').close(); time.sleep(60)"
    program = Program("stubborn", (sys.executable, "-c", code), 1, grace=3)
    layout.supervisor_configuration.write_text(configuration(layout, [program], folder))
    supervisor = Supervisor(layout)
    supervisor.start({"PATH": os.environ["PATH"]})
    _wait_for((folder / "up").exists)
    _wait_for(lambda: "stubborn" in supervisor.states())
    told: list[list[str]] = []
    supervisor.stop(told.append)
    assert told[0] == ["stubborn"]
    assert not supervisor.alive
