"""Which stores a site's settings lead to, and what a person is told of their errors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from appliance import outages
from appliance.config import Database, Settings, VaultSettings
from appliance.drafts import require_room
from appliance.errors import ConfigurationError, DamagedError, StorageDownError
from appliance.vaults import told, vault_of
from storage.vault import DiskObjects, IntegrityError, NotFound, StoreDown
from tests.support import seaweedfs

KEY = {"access_key": seaweedfs.KEY, "secret_key": seaweedfs.SECRET}


@pytest.fixture
def plain(tmp_path: Path) -> Settings:
    (tmp_path / "secrets").mkdir()
    address = "http://localhost"
    return Settings(data=tmp_path, staff_url=address, intake_url=address, database=Database("/run"))


def test_a_site_without_a_word_has_its_vault_in_the_data_folder(plain: Settings) -> None:
    vault = vault_of(plain)
    assert isinstance(vault.hot, DiskObjects)
    assert vault.hot.root == plain.data / "vault"
    assert vault.cold is None
    assert vault_of(plain) is vault


def test_a_store_is_reached_by_the_key_in_its_file(
    plain: Settings, seaweed: seaweedfs.Store, tmp_path: Path
) -> None:
    places = VaultSettings(hot=f"s3://{seaweedfs.BUCKET}/a/b", endpoint=seaweed.endpoint, cold="/mnt/archive")
    settings = replace(plain, vault=places)
    (settings.secrets_folder / "s3.json").write_text(json.dumps(KEY))
    vault = vault_of(settings)
    assert vault.hot.place("x") == f"s3://{seaweedfs.BUCKET}/a/b/x"
    assert vault.cold is not None
    assert vault.cold.place("x") == Path("/mnt/archive/x")
    require_room(settings, 1000)
    draft = vault.hot.begin("x")
    draft.commit()
    assert vault.hot.exists("x")
    assert list(settings.drafts_folder.iterdir()) == []
    vault.hot.remove("x")


@pytest.mark.parametrize(
    "text", [None, "", "{}", "[]", '{"access_key": "a"}', '{"access_key": 1, "secret_key": 2}']
)
def test_a_key_that_is_not_there_or_none_is_one_line(plain: Settings, text: str | None) -> None:
    places = VaultSettings(hot="s3://interviews", endpoint="https://store.example")
    if text is not None:
        (plain.secrets_folder / "s3.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"secrets/s3\.json.* must hold") as raised:
        vault_of(replace(plain, vault=places))
    assert str(raised.value).isprintable()


def test_nothing_is_begun_while_the_store_is_away(plain: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.s3.BACKOFF_SECONDS", 0.01)
    (plain.secrets_folder / "s3.json").write_text(json.dumps(KEY))
    settings = replace(plain, vault=VaultSettings(hot="s3://interviews", endpoint="http://127.0.0.1:1"))
    with pytest.raises(StoreDown) as raised:
        require_room(settings, 1000)
    assert outages.reason(raised.value) == "storage_down"


def test_what_a_person_is_told() -> None:
    assert isinstance(told(StoreDown("refused", "the key")), StorageDownError)
    assert outages.reason(told(StoreDown("refused", "the key"))) == "storage_down"
    assert told(NotFound("file", "x")).params == {"kind": "missing"}
    damaged = told(IntegrityError("segment", "7"))
    assert isinstance(damaged, DamagedError)
    assert damaged.params == {"kind": "segment"}
    assert outages.reason(OSError(30, "Read-only file system")) == "storage_down"
