"""What a start of the embedded default looks at and writes: port, disk, addresses, certificate, settings."""

from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from appliance.embedded import address as embedded_address
from appliance.embedded import certificate, checks, site, start
from appliance.embedded.address import resolve
from appliance.embedded.layout import Layout
from appliance.embedded.postgres import EmbeddedPostgres
from appliance.embedded.supervisor import Supervisor
from appliance.errors import ConfigurationError


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
        assert address.near == "127.0.0.1"
        assert resolve("::", 8443).near == "::1"
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

    def test_a_vault_of_the_first_layout_is_adopted(self, folder: Path) -> None:
        layout = Layout(folder)
        layout.run.mkdir()
        old = folder / "vault" / "ab" / "ab000000-0000-4000-8000-000000000000" / "track" / "camera.fps"
        old.parent.mkdir(parents=True)
        old.write_bytes(b"FPS1")
        settings = site.write_settings(layout, resolve("localhost", 9000), "/run/pg", 5432)
        files = [path for path in settings.vault_folder.rglob("*") if path.is_file()]
        new = settings.vault_folder / "ab0" / "ab000000-0000-4000-8000-000000000000.track.camera.fps"
        assert files == [new]

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


def test_a_stop_says_each_step_before_it_takes_its_time() -> None:
    told: list[str] = []
    supervisor, server = create_autospec(Supervisor), create_autospec(EmbeddedPostgres)
    supervisor.stop.side_effect = lambda waiting: waiting(["worker"])
    server.stop.side_effect = lambda: told.append("(the database stops)")
    start._stop(supervisor, server, told.append)
    database = ["stopping the database", "(the database stops)"]
    assert told == ["stopping", "waiting for worker to end what it does", *database]
    server.is_running.return_value = False
    start._stop(supervisor, server, told.append)
    assert told[4:] == ["stopping", "waiting for worker to end what it does"]
