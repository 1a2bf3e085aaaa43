"""Backups of the key records: who waits for them, how they are made and how they are put back."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import shutil
import uuid
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from appliance import cli, config, jobs
from appliance.config import Settings, VaultSettings
from appliance.errors import ConfigurationError, KeyBackupError
from appliance.keyholder.answers import key_backups, plain
from appliance.keyholder.client import Keyholder
from appliance.keyholder.custody import Custody
from appliance.keyholder.key_backups import BackupState
from appliance.keyholder.server import Server
from appliance.tables import erasure
from appliance.upkeep import key_backup
from storage.vault import KeyStore, generations, prove_generation
from tests.support import erasure as support
from tests.support.keyholder import journal_lines, running_keyholder, unlock, with_key_backups
from tests.support.site import Site

TODAY = dt.datetime.now(dt.UTC).date()
DAY = dt.timedelta(days=1)


def fupan(*arguments: str) -> Result:
    return CliRunner().invoke(cli.main, [*arguments], prog_name="fupan")


def custody_of(server: Server) -> Custody:
    return server.service.custody


def made_key(server: Server) -> str:
    recording = uuid.uuid4()
    custody_of(server).tree.create_recording_key(recording, uuid.uuid4(), 2026)
    return str(recording)


def folder_of(settings: Settings) -> Path:
    assert settings.key_backup_folder is not None
    return settings.key_backup_folder


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return with_key_backups(settings)


def test_where_they_go() -> None:
    base = {"data": "/d", "staff_url": "http://s", "intake_url": "http://i", "database": {"host": "h"}}
    assert config.from_mapping(base).key_backup_folder is None
    assert config.from_mapping(base | {"vault": {"key_backup": ""}}).key_backup_folder is None
    assert config.from_mapping(base | {"vault": {"key_backup": "/b"}}).key_backup_folder == Path("/b")
    with pytest.raises(ConfigurationError, match=r"vault\.key_backup.*absolute path"):
        config.from_mapping(base | {"vault": {"key_backup": "b"}})


def test_published_day_keys_are_in_a_generation(settings: Settings, server: Server) -> None:
    published = {("day", key.id) for key in Keyholder(settings).publics().day_keys}
    assert published
    [generation] = generations(folder_of(settings))
    assert published < prove_generation(generation.path).names


def test_a_day_key_that_cannot_be_backed_up_is_not_published(settings: Settings) -> None:
    folder_of(settings).write_bytes(b"no folder")
    with running_keyholder(settings) as server:
        keyholder = Keyholder(settings)
        assert not keyholder.status().locked
        assert keyholder.publics().day_keys == ()
        assert len(KeyStore(settings.keys_folder).list("day")) > 1
        with pytest.raises(KeyBackupError):
            keyholder.backup_keys(again=True)
        folder_of(settings).unlink()
        custody_of(server).lock()
        assert [key.id for key in keyholder.publics().day_keys] == KeyStore(settings.keys_folder).list("day")


def test_a_damaged_generation_holds_nothing(settings: Settings, server: Server) -> None:
    backups, recording = custody_of(server).backups, made_key(server)
    assert not backups.holds("recording", recording)
    assert backups.make(TODAY) is not None
    assert backups.holds("recording", recording)
    [generation] = generations(folder_of(settings))
    generation.path.write_bytes(generation.path.read_bytes()[:-2])
    assert not backups.holds("recording", recording)
    assert backups.state() == BackupState(True, (), (str(TODAY),))


def test_nothing_waits_where_none_is_configured(settings: Settings) -> None:
    without = dataclasses.replace(settings, vault=VaultSettings(""))
    with running_keyholder(without) as server:
        keyholder = Keyholder(without)
        assert keyholder.publics().day_keys
        assert keyholder.key_backups() == BackupState(False)
        assert keyholder.backup_keys(again=True) is None
        assert custody_of(server).backups.holds("recording", "x")
    assert not (settings.data / "key-backups").exists()


def test_the_job_makes_one_a_day_and_seven_are_kept(
    settings: Settings, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyholder, work = Keyholder(settings), jobs.Work(settings, lambda: False)
    assert keyholder.backup_keys() is None  # the day keys had it made
    custody_of(server).lock()
    for days in range(1, 9):
        monkeypatch.setattr(key_backups, "_today", lambda days=days: TODAY + days * DAY)
        key_backup.backup_keys(work)
        key_backup.backup_keys(work)
    assert keyholder.key_backups().days == tuple(str(TODAY + days * DAY) for days in range(8, 1, -1))
    lines = [line for line in journal_lines(settings) if b'"op":"backup_keys"' in line]
    assert len(lines) == 8


def test_a_certificate_counts_generations_also_once_none_are_made_any_more(settings: Settings) -> None:
    """Those that are there hold the keys still."""
    never = dataclasses.replace(settings, vault=VaultSettings(""))
    with running_keyholder(never) as server:
        assert custody_of(server).backups.kept_days == 0
        site = Site(never, Keyholder(never))
        support.mark(site, support.recorded(site, resume_too=False))
    with running_keyholder(settings):
        Keyholder(settings).backup_keys()
    with running_keyholder(never) as server:
        support.days_pass(server, 8)
        assert support.carry_out(site) == 1
    [made] = site.rows(erasure)
    assert json.loads(made.certificate["statement"])["backups_kept_days"] == 7


def test_while_a_record_is_damaged_no_old_generation_goes(settings: Settings, server: Server) -> None:
    recording = made_key(server)
    backups = custody_of(server).backups
    backups.make(TODAY)
    KeyStore(settings.keys_folder).path("recording", recording).write_bytes(b"damaged")
    for days in (8, 9):
        made = backups.make(TODAY + days * DAY)
        assert made is not None
        assert (made.damaged, made.removed) == ((f"recording {recording}",), ())
    told = fupan("vault", "backup-keys")
    assert (told.exit_code, f"DAMAGE  the record recording {recording}" in told.output) == (1, True)


def test_what_was_erased_leaves_old_generations_also_while_a_record_is_damaged(
    settings: Settings, server: Server
) -> None:
    """A certificate says from when on no backup opens it, whatever else is damaged."""
    erased, damaged = made_key(server), made_key(server)
    custody = custody_of(server)
    backups = custody.backups
    backups.make(TODAY)
    custody.erasures.erase(uuid.uuid4(), uuid.uuid4(), None, [uuid.UUID(erased)], [])
    KeyStore(settings.keys_folder).path("recording", damaged).write_bytes(b"damaged")
    of_the_day = folder_of(settings) / f"{TODAY}.keys"
    whole = of_the_day.read_bytes()
    backups.make(TODAY + 6 * DAY)
    assert of_the_day.read_bytes() == whole
    backups.make(TODAY + 7 * DAY)
    kept = prove_generation(of_the_day).names
    assert ("recording", erased) not in kept
    assert ("recording", damaged) in kept
    assert erased.encode() not in b"".join(
        line for line in of_the_day.read_bytes().splitlines() if line.startswith(b"K ")
    )
    of_the_day.write_bytes(whole[:-2])  # one that cannot be read is of no use, and may hold the key
    backups.make(TODAY + 8 * DAY)
    assert not of_the_day.exists()


def test_a_record_that_is_gone_stays_in_the_backups_and_is_named(settings: Settings, server: Server) -> None:
    gone, erased = made_key(server), made_key(server)
    custody = custody_of(server)
    custody.backups.make(TODAY)
    KeyStore(settings.keys_folder).path("recording", gone).unlink()
    custody.erasures.erase(uuid.uuid4(), uuid.uuid4(), None, [uuid.UUID(erased)], [])
    for days in (0, 1, 7, 8, 30):  # also the one of the same day, which takes the first one's place
        made = custody.backups.make(TODAY + days * DAY)
        assert made is not None
        assert made.damaged == (f"recording {gone}",)
        names = prove_generation(folder_of(settings) / f"{TODAY + days * DAY}.keys").names
        assert ("recording", gone) in names
        assert ("recording", erased) not in names
    assert custody.backups.holds("recording", gone)
    assert not custody.backups.holds("recording", erased)


def test_what_was_erased_is_not_taken_over_before_the_first_unlock(
    settings: Settings, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    erased, custody = made_key(server), custody_of(server)
    custody.backups.make(TODAY)
    custody.erasures.erase(uuid.uuid4(), uuid.uuid4(), None, [uuid.UUID(erased)], [])
    monkeypatch.setattr(custody.erasures, "_ledger", None)  # as after a start, while nobody has unlocked
    made = custody.backups.make(TODAY + DAY)
    assert made is not None
    assert made.damaged == ()
    assert ("recording", erased) not in prove_generation(folder_of(settings) / f"{made.day}.keys").names


def test_a_clock_that_was_ahead_costs_no_generation_and_keeps_nothing_that_was_erased(
    settings: Settings, server: Server
) -> None:
    erased = made_key(server)
    custody = custody_of(server)
    custody.backups.make(TODAY)
    made = custody.backups.make(TODAY + 200 * DAY)
    assert made is not None
    assert made.removed == ()
    custody.erasures.erase(uuid.uuid4(), uuid.uuid4(), None, [uuid.UUID(erased)], [])
    for days in range(1, 9):
        assert custody.backups.make(TODAY + days * DAY) is not None
    assert not custody.backups.holds("recording", erased)
    kept = custody.backups.state().days
    assert kept == (str(TODAY + 200 * DAY), *(str(TODAY + days * DAY) for days in range(8, 1, -1)))


def test_at_the_console(settings: Settings, server: Server) -> None:
    told = fupan("vault", "backup-keys")
    records = len(list(settings.keys_folder.rglob("*.key")))
    assert told.exit_code == 0
    assert told.output == f"{folder_of(settings)}: generation {TODAY}, {records} records, read back\n"
    told = fupan("vault", "restore-keys", str(TODAY))
    assert told.exit_code == 1
    assert "another keyholder is running" in told.output


class TestRestore:
    def test_a_lost_folder_of_keys(self, settings: Settings) -> None:
        with running_keyholder(settings) as server:
            recording, erased = made_key(server), made_key(server)
            services = Keyholder(settings).publics().service_keys
            custody_of(server).backups.make(TODAY)
            custody_of(server).erasures.erase(uuid.uuid4(), uuid.uuid4(), None, [uuid.UUID(erased)], [])
        shutil.rmtree(settings.keys_folder)
        with pytest.raises(ConfigurationError, match="fupan vault restore-keys"), running_keyholder(settings):
            pass
        told = fupan("vault", "restore-keys", str(TODAY))
        assert told.exit_code == 0
        assert "1 were erased since" in told.output
        with running_keyholder(settings) as server:
            assert not Keyholder(settings).status().locked
            assert Keyholder(settings).publics().service_keys == services
            assert KeyStore(settings.keys_folder).list("recording") == [recording]
            assert custody_of(server).erasures.head.count == 1
        assert any(b'"op":"restore_keys"' in line for line in journal_lines(settings))

    def test_also_the_media_copy_of_the_ledger_is_lost(self, settings: Settings) -> None:
        """Then the keyholder's journal knows what is missing, and the vault stays locked."""
        with running_keyholder(settings) as server:
            erased = made_key(server)
            custody_of(server).backups.make(TODAY)
            custody_of(server).erasures.erase(uuid.uuid4(), uuid.uuid4(), None, [uuid.UUID(erased)], [])
        kept = (settings.vault_folder / "ledger").read_bytes()
        shutil.rmtree(settings.keys_folder)
        (settings.vault_folder / "ledger").unlink()
        assert fupan("vault", "restore-keys", str(TODAY)).exit_code == 0
        assert KeyStore(settings.keys_folder).list("recording") == [erased]  # it came back
        with running_keyholder(settings):
            status = Keyholder(settings).status()
            assert (status.locked, "entries 1 to 1 are missing" in status.ledger_problem) == (True, True)
            (settings.vault_folder / "ledger").write_bytes(kept)
            unlock(settings)
            assert KeyStore(settings.keys_folder).list("recording") == []

    def test_the_vaults_description_is_lost_as_well(self, settings: Settings) -> None:
        with running_keyholder(settings) as server:
            recording = made_key(server)
            custody_of(server).backups.make(TODAY)
        (settings.data / "keyholder" / "vault.json").unlink()
        shutil.rmtree(settings.keys_folder)
        assert fupan("vault", "restore-keys", str(generations(folder_of(settings))[0].path)).exit_code == 0
        with running_keyholder(settings):
            assert not Keyholder(settings).status().locked
        assert KeyStore(settings.keys_folder).list("recording") == [recording]

    def test_a_damaged_or_unknown_generation(self, settings: Settings) -> None:
        with running_keyholder(settings):
            pass
        [generation] = generations(folder_of(settings))
        generation.path.write_bytes(generation.path.read_bytes()[:-5])
        told = fupan("vault", "restore-keys", str(TODAY))
        assert (told.exit_code, "generation" in told.output) == (1, True)
        told = fupan("vault", "restore-keys", "2020-01-01")
        assert (
            f"there is no generation 2020-01-01 in {folder_of(settings)}; there are: {TODAY}" in told.output
        )

    def test_of_another_vault(self, settings: Settings, tmp_path: Path) -> None:
        folder = VaultSettings(str(tmp_path / "others"))
        other = dataclasses.replace(settings, data=tmp_path / "other", vault=folder)
        shutil.copytree(settings.secrets_folder, other.secrets_folder)
        for each in (settings, other):
            with running_keyholder(each):
                pass
        told = fupan("vault", "restore-keys", str(generations(folder_of(other))[0].path))
        assert (told.exit_code, "is of vault" in told.output) == (1, True)


def test_the_clock_of_day_keys_makes_the_generation(
    settings: Settings, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "_today", lambda: TODAY + DAY)
    Keyholder(settings).publics()
    assert generations(folder_of(settings))[0].day == TODAY + DAY
