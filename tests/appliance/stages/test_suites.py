"""The suite of a vault: chosen when it is made, obeyed by everything in it; the other one opens beside it."""

from __future__ import annotations

import json
import logging
import uuid
from dataclasses import replace

import pytest

from appliance.config import Settings
from appliance.errors import ConfigurationError
from appliance.keyholder import unlock, vault_file
from appliance.keyholder.client import Keyholder
from appliance.stages import replay
from storage.vault import KeyStore, Vault
from tests.support.keyholder import running_keyholder, vault_key
from tests.support.media import recorded
from tests.support.site import Site


def asking_for(settings: Settings, suite: int) -> Settings:
    return replace(settings, vault=replace(settings.vault, suite=suite))


def suites_of_files(settings: Settings, made: uuid.UUID) -> set[int]:
    vault = Vault(settings.vault_folder)
    return {vault.header_of(made, file.kind, file.name).suite for file in vault.list(made)}


def suites_of_records(settings: Settings) -> dict[str, set[int]]:
    """Kind of key → the suites of its records."""
    store = KeyStore(settings.keys_folder)
    kinds = sorted(folder.name for folder in settings.keys_folder.iterdir() if folder.is_dir())
    return {kind: {store.get(kind, name).suite for name in store.list(kind)} for kind in kinds}


def replayed(site: Site, made: uuid.UUID) -> bytes:
    view = replay.open_view(site.settings, site.recruiter, made)
    assert json.loads(replay.document(site.settings, view, "timeline"))
    with replay.open_track(site.settings, view, "camera") as file:
        return b"".join(file.pieces(0, file.size))


def test_a_vault_that_is_made_in_suite_2_seals_and_replays_in_it(settings: Settings) -> None:
    asked = asking_for(settings, 2)
    with running_keyholder(asked):
        site = Site(asked, Keyholder(asked))
        made = site.sealed(list(recorded(4.0)))
        assert replayed(site, made)[:4] == b"\x1a\x45\xdf\xa3"
        assert suites_of_files(asked, made) == {2}
    found = suites_of_records(asked)
    assert {"day", "department-year", "recording", "service"} <= found.keys()
    assert all(suites == {2} for suites in found.values()), found
    assert [slot.record.suite for slot in vault_file.describe(asked).slots] == [2]


def test_a_vault_takes_what_is_there_in_the_other_suite(settings: Settings) -> None:
    with running_keyholder(settings):
        site = Site(settings, Keyholder(settings))
        first = site.sealed_but_not_analysed(list(recorded(4.0)))
        before = replayed(site, first)
    description, key = vault_file.describe(settings), vault_key(settings)
    vault_file.change(settings, replace(description, suite=2).sealed(key))
    with running_keyholder(settings):
        second = site.sealed_but_not_analysed(list(recorded(4.0)))
        assert replayed(site, first) == before
        assert len(replayed(site, second)) > 1000
    assert (suites_of_files(settings, first), suites_of_files(settings, second)) == ({1}, {2})
    found = suites_of_records(settings)
    assert (found["department-year"], found["recording"]) == ({1}, {1, 2})


@pytest.mark.parametrize(("made", "asked"), [(1, 2), (2, 1)])
def test_another_suite_is_said_at_the_start_and_not_obeyed(
    settings: Settings, caplog: pytest.LogCaptureFixture, made: int, asked: int
) -> None:
    unlock.create_vault(asking_for(settings, made))
    with caplog.at_level(logging.WARNING), running_keyholder(asking_for(settings, asked)):
        assert f"vault.suite = {asked} is not obeyed: this vault was made in suite {made}" in caplog.text
    assert vault_file.describe(settings).suite == made
    caplog.clear()
    for same in (settings, asking_for(settings, made)):
        with caplog.at_level(logging.WARNING), running_keyholder(same):
            assert "not obeyed" not in caplog.text


def test_a_vault_of_a_newer_suite_is_not_opened(settings: Settings) -> None:
    unlock.create_vault(settings)
    path = vault_file.path_of(settings)
    path.write_bytes(path.read_bytes().replace(b'"suite":1,"vault"', b'"suite":3,"vault"'))
    with pytest.raises(ConfigurationError, match="made by a newer Fupan"), running_keyholder(settings):
        pass
