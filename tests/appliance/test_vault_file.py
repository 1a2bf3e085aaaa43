"""keyholder/vault.json on disk: made once, brought to version 2 in one step, read only when it is whole."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.config import Settings
from appliance.errors import ConfigurationError, DamagedError
from appliance.keyholder import unlock, vault_file
from appliance.keyholder.client import Keyholder
from appliance.packet import canonical
from appliance.vault_errors import NoVaultError, UnlockError
from storage import disk
from storage.vault import new_key, vault_check
from tests.support.keyholder import key_file, running_keyholder, vault_key

OLD_KEY = new_key()


@pytest.fixture
def old_site(settings: Settings) -> Settings:
    """A site as version 1 left it: the key file holds the vault key itself."""
    vault_id = uuid.uuid4()
    fields = {
        "version": 1,
        "vault": str(vault_id),
        "created": "2026-01-01T00:00:00.000Z",
        "check": vault_check(vault_id, OLD_KEY).hex(),
    }
    disk.write_once(vault_file.path_of(settings), canonical(fields))
    disk.write_once(old_file(settings), OLD_KEY.hex().encode())
    return settings


def old_file(settings: Settings) -> Path:
    return settings.secrets_folder / "vault.key"


def test_version_1_becomes_version_2_with_the_same_vault_key(old_site: Settings) -> None:
    before = vault_file.describe(old_site)
    with running_keyholder(old_site):
        assert not Keyholder(old_site).status().locked
    after = vault_file.describe(old_site)
    assert (after.version, after.vault_id, after.created) == (2, before.vault_id, before.created)
    assert vault_key(old_site) == OLD_KEY
    after.require(OLD_KEY)
    assert not old_file(old_site).exists()
    with running_keyholder(old_site):
        assert not Keyholder(old_site).status().locked
    assert vault_file.describe(old_site) == after


@pytest.mark.parametrize("cut", ["change", "remove"])
def test_an_upgrade_that_is_cut_short_is_taken_up_again(
    old_site: Settings, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    def killed(*_: object) -> None:
        raise OSError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(*((vault_file, "change") if cut == "change" else (unlock, "remove")), killed)
        with pytest.raises(OSError, match="killed"):
            unlock.upgrade(old_site)
    assert old_file(old_site).exists()
    assert vault_file.describe(old_site).version == (1 if cut == "change" else 2)
    assert unlock.upgrade(old_site).version == 2
    assert vault_key(old_site) == OLD_KEY
    assert not old_file(old_site).exists()


def test_another_vaults_key_is_not_wrapped_into_a_slot(old_site: Settings) -> None:
    old_file(old_site).write_text(new_key().hex())
    with pytest.raises(DamagedError):
        unlock.upgrade(old_site)
    assert vault_file.describe(old_site).version == 1


@pytest.mark.parametrize("data", [b"", b"{}", b"junk", b"\0" * 500_000])
def test_a_damaged_description_stops_the_start(settings: Settings, data: bytes) -> None:
    unlock.create_vault(settings)
    vault_file.path_of(settings).write_bytes(data)
    with pytest.raises(ConfigurationError, match=r"vault\.json"), running_keyholder(settings):
        pass


def test_a_description_by_a_newer_fupan_says_so(settings: Settings) -> None:
    unlock.create_vault(settings)
    path = vault_file.path_of(settings)
    path.write_bytes(path.read_bytes().replace(b'"version":2}', b'"version":3}'))
    with pytest.raises(ConfigurationError, match="made by a newer Fupan"), running_keyholder(settings):
        pass


def test_a_slot_that_somebody_planted_is_noticed_before_anything_opens(settings: Settings) -> None:
    unlock.create_vault(settings)
    description = vault_file.describe(settings)
    vault_file.change(settings, replace(description, sets=9))
    with pytest.raises(DamagedError), running_keyholder(settings):
        pass


@pytest.mark.parametrize("content", ["", "00" * 31, "zz" * 32, "00" * 33, "+0" * 32])
def test_a_damaged_key_file_is_named(settings: Settings, content: str) -> None:
    unlock.create_vault(settings)
    key_file(settings).write_text(content)
    with pytest.raises(UnlockError, match="missing or damaged"), running_keyholder(settings):
        pass


def test_an_installed_site_starts_without_a_vault_and_says_what_to_do(settings: Settings) -> None:
    installed = replace(settings, profile="installed")
    with running_keyholder(installed):
        keyholder = Keyholder(installed)
        for ask in (keyholder.status, keyholder.publics, keyholder.lock):
            with pytest.raises(NoVaultError, match="fupan vault init"):
                ask()
    assert not vault_file.path_of(settings).exists()


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "f"
    disk.write_once(path, b"one")
    (tmp_path / ".f.12345678.tmp").write_bytes(b"torn")
    disk.replace(path, b"two")
    assert [each.name for each in tmp_path.iterdir()] == ["f"]
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o077 == 0
