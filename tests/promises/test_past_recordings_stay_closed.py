"""Promise: whoever seizes intake, and gets the vault's keys as well, opens no recording of a day whose key is
destroyed: not from its folder, not from what it remembers, not from a copy taken while it was recorded."""

from __future__ import annotations

import datetime as dt
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.config import Settings
from appliance.intake_folder import IntakeFolder
from appliance.jobs import Work
from appliance.keyholder import day_gate
from appliance.keyholder.client import Keyholder
from appliance.keyholder.clock import Clock
from appliance.stages.seal import journals
from appliance.transport import transport_of
from appliance.upkeep import day_keys
from storage.vault import (
    IntegrityError,
    KeyStore,
    Opening,
    VaultError,
    open_epoch_key,
    parse_opening,
    parse_record,
    unwrap,
)
from tests.support.keyholder import running_keyholder, vault_key
from tests.support.media import recorded
from tests.support.site import Site

pytestmark = pytest.mark.promise

DAYS = 3


def test_a_seized_intake_opens_nothing_of_the_past(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    with running_keyholder(settings, days_ahead=DAYS) as server:
        keyholder = Keyholder(settings)
        site = Site(settings, keyholder)
        day_keys.publish(settings, transport_of(settings))
        made = [site.finished(list(recorded())) for _ in range(2)]
        seized = tmp_path / "seized"
        shutil.copytree(settings.intake_folder, seized)
        keys_then = tmp_path / "keys"
        shutil.copytree(settings.keys_folder, keys_then)

        openings = list(_openings(seized, made))
        assert len(openings) == len(made)
        assert [_opened(settings, settings.keys_folder, each) for each in openings] == [1] * len(openings)

        site.run_jobs()  # sealed
        work = Work(replace(settings, journal_days=0), lambda: False)
        assert journals.clear(work) == len(made)
        assert list(_openings(settings.intake_folder, made)) == []  # intake itself has nothing left

        later = dt.datetime.now(dt.UTC) + DAYS * dt.timedelta(days=1)
        monkeypatch.setattr(day_gate, "now", lambda _tx: later)
        clock = Clock(later.timestamp, lambda: 0.0)
        object.__setattr__(server.service.desk, "clock", clock)
        today = openings[0].day_key_id
        assert today in day_keys.destroy(settings, transport_of(settings))

        tried = sum(len(KeyStore(settings.keys_folder).list(kind)) for kind in KINDS)
        nothing = [_opened(settings, settings.keys_folder, each) for each in openings]
        assert nothing == [0] * len(openings)
        # Only a copy of the keys from before would: the day's key was in it.
        assert [_opened(settings, keys_then, each) for each in openings] == [1] * len(openings)
    record_property(
        "figure",
        f"{len(openings)} epochs of a seized intake, {tried} key records and the vault key: 0 opened",
    )


KINDS = ("day", "department-year", "recording", "service")


def _openings(folder: Path, made: list[uuid.UUID]) -> Iterator[Opening]:
    intake = IntakeFolder(folder)
    for recording in made:
        for track in intake.tracks(recording):
            journal = intake.journal(recording, track, 1 << 40)
            for epoch in journal.state():
                yield parse_opening(journal.opening(bytes.fromhex(epoch)))


def _opened(settings: Settings, keys: Path, opening: Opening) -> int:
    """How many of all keys under the vault's key open an epoch, whatever they are for."""
    whole = vault_key(settings)
    secret = bytes.fromhex((settings.secrets_folder / "keyholder.key").read_text())
    secrets: dict[str, bytes] = {}
    for path in sorted(keys.rglob("*.key")):
        record = parse_record(path.read_bytes())
        for parent in (whole, secret, *secrets.values()):
            try:
                secrets[f"{record.kind}/{record.id}"] = unwrap(parent, record)
            except IntegrityError:
                continue
    found = 0
    for candidate in (whole, secret, *secrets.values()):
        try:
            open_epoch_key(candidate, opening)
            found += 1
        except (VaultError, ValueError):
            continue
    return found
