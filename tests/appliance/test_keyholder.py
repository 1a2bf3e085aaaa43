from __future__ import annotations

import datetime as dt
import json
import secrets
import uuid
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import select

from appliance import packet
from appliance.config import Settings
from appliance.database import transaction
from appliance.errors import (
    ConfigurationError,
    FupanError,
    KeyholderDownError,
    KeyRefusedError,
    NewerFormatError,
    VaultLockedError,
)
from appliance.keyholder import unlock as unlocking
from appliance.keyholder import vault_file
from appliance.keyholder.client import EpochProblem, Keyholder
from appliance.keyholder.memory import SecretBytes
from appliance.tables import attempt, position
from appliance.vault_errors import UnlockError
from storage.vault import (
    Clock,
    KeyStore,
    build_opening,
    derive_file_key,
    new_browser_key,
    parse_header,
    unwrap,
)
from tests.support import factory
from tests.support.keyholder import key_file, running_keyholder, unlock, vault_key

CLOCK = Clock(bytes(16), 1.0, 2.0)


@pytest.fixture
def recording(settings: Settings) -> uuid.UUID:
    return factory.make_attempt(settings, factory.make_department(settings), state="sealing")


def department_of(settings: Settings, recording: uuid.UUID) -> uuid.UUID:
    with transaction("staff", settings) as tx:
        found = tx.scalar(
            select(position.c.department_id)
            .join(attempt, attempt.c.position_id == position.c.id)
            .where(attempt.c.id == recording)
        )
        assert found is not None
        return found


def with_key(settings: Settings, keyholder: Keyholder, recording: uuid.UUID) -> uuid.UUID:
    """Give the recording its key; the id of the live seal event."""
    event = factory.worker_event(settings, recording, "seal")
    keyholder.create_recording_key(recording, department_of(settings, recording), 2026, event.id)
    return event.id


def browser_point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


class Candidate:
    """A browser with its pinned key, and the openings it makes."""

    def __init__(self, settings: Settings, keyholder: Keyholder, recording: uuid.UUID) -> None:
        self.publics, self.recording, self.key = keyholder.publics(), recording, new_browser_key()
        factory.pin_browser_key(settings, recording, browser_point(self.key))

    def opening(self, **changes: Any) -> tuple[bytes, bytes]:
        day = self.publics.current_day_key
        fields: dict[str, Any] = {
            "vault_id": self.publics.vault_id,
            "recording_id": self.recording,
            "track": "camera",
            "day_key_id": day.id,
            "recipients": {day.id: day.public},
            "browser_key": self.key,
            "mime": "video/webm",
            "clock": CLOCK,
            **changes,
        }
        made, key = build_opening(**fields)
        return made.raw, key


# Public halves and signatures ------------------------------------------------------------------------


def test_publics_are_proven_by_the_service_key(keyholder: Keyholder) -> None:
    publics = keyholder.publics()
    today = publics.current_day_key
    stated = packet.open_envelope(today.signature.encode(), publics.service_keys, "day_key")
    assert stated["public"] == packet.DayKey(today.id, today.public).to_json()["public"]
    assert stated["vault"] == str(publics.vault_id)
    assert today.id == stated["day"] == dt.datetime.now(dt.UTC).date().isoformat()
    assert keyholder.publics() == publics


def test_signs_what_is_true_of_this_vault_and_nothing_else(keyholder: Keyholder) -> None:
    publics = keyholder.publics()
    tombstone = packet.tombstone_statement(publics.vault_id, uuid.uuid4(), "sealed")
    envelope = keyholder.sign("tombstone", tombstone)
    stated = packet.open_envelope(envelope, publics.service_keys, "tombstone")
    assert stated == {**tombstone, "ledger": {"count": 0, "head": "00" * 32}}

    stranger = packet.DayKey(publics.current_day_key.id, bytes(65), publics.current_day_key.signature)
    day = packet.day_key_statement(publics.vault_id, "2026-01-01", bytes(65), "2026-01-01")
    for kind, statement in (
        ("tombstone", packet.tombstone_statement(uuid.uuid4(), uuid.uuid4(), "sealed")),
        ("packet", tombstone),
        ("packet", {"type": "packet", "vault": str(publics.vault_id), "day_key": stranger.to_json()}),
        ("day_key", day),
    ):
        with pytest.raises(KeyRefusedError):
            keyholder.sign(kind, statement)


def test_a_public_half_swapped_on_disk_is_not_published(settings: Settings, keyholder: Keyholder) -> None:
    today = keyholder.publics().current_day_key
    published = vault_file.own_folder(settings) / "day-keys" / f"{today.id}.json"
    envelope = json.loads(published.read_text())
    envelope["statement"] = envelope["statement"].replace('"public":"B', '"public":"C')
    published.write_text(json.dumps(envelope))
    keyholder.lock()
    publics = keyholder.publics()
    assert publics.day_keys
    assert today.id not in [key.id for key in publics.day_keys]
    assert publics.day_list is not None
    assert today.id.encode() not in publics.day_list
    with pytest.raises(VaultLockedError):
        _ = publics.current_day_key


# Locked ----------------------------------------------------------------------------------------------


def test_a_locked_vault_gives_no_key_but_signs_and_publishes(
    settings: Settings, keyholder: Keyholder, recording: uuid.UUID
) -> None:
    event = with_key(settings, keyholder, recording)
    before = keyholder.publics()
    keyholder.lock()
    assert keyholder.status().locked
    for call in (
        lambda: keyholder.create_recording_key(recording, uuid.uuid4(), 2026, event),
        lambda: keyholder.file_keys(recording, event, "seal", []),
        lambda: keyholder.new_file_keys(recording, event, "seal", [("track", "camera")]),
        lambda: keyholder.epoch_keys(recording, event, "seal", []),
    ):
        with pytest.raises(VaultLockedError):
            call()
    assert keyholder.publics() == before
    assert keyholder.sign("tombstone", packet.tombstone_statement(before.vault_id, recording, "sealed"))
    unlock(settings)
    assert len(keyholder.new_file_keys(recording, event, "seal", [("track", "camera")])) == 1


def test_an_installed_site_starts_locked_and_takes_no_key_from_a_file(settings: Settings) -> None:
    unlocking.create_vault(settings)
    installed = replace(settings, profile="installed")
    with running_keyholder(installed):
        assert Keyholder(installed).status().locked
        with pytest.raises(ConfigurationError):
            unlock(installed)


def test_another_vaults_key_does_not_unlock(settings: Settings) -> None:
    with running_keyholder(settings):
        client = Keyholder(settings)
        client.lock()
        key_file(settings).write_text("00" * 32)
        with pytest.raises(UnlockError, match="not the one of this slot"):
            unlock(settings)
        assert client.status().locked


def test_keys_outlive_a_restart(settings: Settings, recording: uuid.UUID) -> None:
    with running_keyholder(settings):
        client = Keyholder(settings)
        event = with_key(settings, client, recording)
        ((header, key),) = client.new_file_keys(recording, event, "seal", [("track", "camera")])
        before = client.publics()
    with running_keyholder(settings):
        assert client.file_keys(recording, event, "seal", [header]) == [key]
        assert client.publics() == before


def test_a_new_vault_is_never_made_beside_old_recordings(settings: Settings, recording: uuid.UUID) -> None:
    with running_keyholder(settings):
        with_key(settings, Keyholder(settings), recording)
    vault_file.path_of(settings).unlink()
    with pytest.raises(ConfigurationError, match="restore the keys"):
        unlocking.create_vault(settings)


def test_a_start_that_was_cut_short_is_taken_up_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object) -> None:
        raise OSError("cut short")

    with monkeypatch.context() as patched:
        patched.setattr(vault_file, "create", cut)
        with pytest.raises(OSError, match="cut short"):
            unlocking.create_vault(settings)
    unlocking.create_vault(settings)
    first = vault_file.describe(settings)
    with running_keyholder(settings):
        pass
    unlocking.create_vault(settings)
    assert vault_file.describe(settings) == first


def test_secrets_are_readable_by_their_owner_only(settings: Settings, keyholder: Keyholder) -> None:
    for path in (
        key_file(settings),
        settings.secrets_folder / "keyholder.key",
        settings.keyholder_socket,
        settings.data / "keyholder" / "journal",
    ):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_wiped_key_is_gone_from_its_buffer() -> None:
    given = secrets.token_bytes(32)
    secret = SecretBytes(given)
    assert given == bytes(32)  # what was given is overwritten where it lay
    assert bytes(secret.buffer) != bytes(32)
    secret.wipe()
    assert secret.buffer == bytes(32)


# File keys -------------------------------------------------------------------------------------------


def test_new_files_get_fresh_keys_that_can_be_asked_for_again(
    settings: Settings, keyholder: Keyholder, recording: uuid.UUID
) -> None:
    event = with_key(settings, keyholder, recording)
    names = [("track", "camera"), ("track", "camera"), ("document", "timeline")]
    made = keyholder.new_file_keys(recording, event, "seal", names)
    assert len({key for _, key in made}) == 3
    headers = [parse_header(raw) for raw, _ in made]
    assert [(header.kind, header.name) for header in headers] == names
    assert {header.owner for header in headers} == {recording}
    assert keyholder.file_keys(recording, event, "seal", [raw for raw, _ in made]) == [key for _, key in made]


@pytest.mark.parametrize("place", [4, 5], ids=["version", "suite"])
def test_a_file_of_a_newer_release_is_named_so(
    settings: Settings, keyholder: Keyholder, recording: uuid.UUID, place: int
) -> None:
    event = with_key(settings, keyholder, recording)
    ((header, _key),) = keyholder.new_file_keys(recording, event, "seal", [("track", "camera")])
    newer = header[:place] + b"\x09" + header[place + 1 :]
    with pytest.raises(NewerFormatError):
        keyholder.file_keys(recording, event, "seal", [newer])


def test_the_hierarchy_on_disk_is_vault_department_year_recording(
    settings: Settings, keyholder: Keyholder, recording: uuid.UUID
) -> None:
    event = with_key(settings, keyholder, recording)
    ((header, key),) = keyholder.new_file_keys(recording, event, "seal", [("track", "camera")])
    store = KeyStore(settings.keys_folder)
    record = store.get("recording", str(recording))
    assert record.parent == f"{department_of(settings, recording)}.2026"
    department_year = store.get("department-year", record.parent)
    assert department_year.parent == str(keyholder.status().vault_id)
    assert derive_file_key(unwrap(unwrap(vault_key(settings), department_year), record), header) == key


def test_a_recordings_key_is_made_once(
    settings: Settings, keyholder: Keyholder, recording: uuid.UUID
) -> None:
    event = with_key(settings, keyholder, recording)
    mine = department_of(settings, recording)
    assert keyholder.create_recording_key(recording, mine, 2026, event) == f"{mine}.2026"
    for department, year in ((mine, 2027), (factory.make_department(settings), 2026)):
        with pytest.raises(KeyRefusedError):
            keyholder.create_recording_key(recording, department, year, event)


# Epoch keys ------------------------------------------------------------------------------------------


def test_an_epoch_key_is_given_for_a_signed_opening_of_the_pinned_browser(
    settings: Settings, keyholder: Keyholder, recording: uuid.UUID
) -> None:
    candidate = Candidate(settings, keyholder, recording)
    event = factory.worker_event(settings, recording, "seal")
    (first, key), (second, other) = candidate.opening(), candidate.opening(track="screen")
    assert keyholder.epoch_keys(recording, event.id, "seal", [first, second]) == [key, other]


def test_an_opening_that_does_not_prove_itself_gets_a_reason_and_the_others_their_keys(
    settings: Settings, keyholder: Keyholder, recording: uuid.UUID
) -> None:
    candidate = Candidate(settings, keyholder, recording)
    event = factory.worker_event(settings, recording, "seal")
    good, key = candidate.opening()
    day = candidate.publics.current_day_key
    other_day: dict[str, Any] = {"day_key_id": "1999-01-01", "recipients": {"1999-01-01": day.public}}
    cases = {
        "signature": good[:-1] + bytes([good[-1] ^ 1]),
        "length": good + b"x",
        "browser_key": candidate.opening(browser_key=new_browser_key())[0],
        "foreign": candidate.opening(recording_id=uuid.uuid4())[0],
        "day_key": candidate.opening(**other_day)[0],
        "unwrap": candidate.opening(recipients={day.id: browser_point(new_browser_key())})[0],
        "magic": b"junk" * 30,
    }
    answers = keyholder.epoch_keys(recording, event.id, "seal", [*cases.values(), good])
    assert answers == [*(EpochProblem(kind) for kind in cases), key]
    elsewhere = candidate.opening(vault_id=uuid.uuid4())[0]
    assert keyholder.epoch_keys(recording, event.id, "seal", [elsewhere]) == [EpochProblem("foreign")]


# Nobody there ----------------------------------------------------------------------------------------


def test_no_keyholder_is_a_typed_error(settings: Settings) -> None:
    with pytest.raises(KeyholderDownError):
        Keyholder(settings).status()


def test_two_keyholders_of_one_site_are_refused(settings: Settings, keyholder: Keyholder) -> None:
    with pytest.raises(ConfigurationError, match="another keyholder"), running_keyholder(settings):
        pass
    assert not keyholder.status().locked


def test_errors_keep_their_parameters_over_the_wire(settings: Settings, keyholder: Keyholder) -> None:
    with pytest.raises(FupanError) as caught:
        keyholder.file_keys(uuid.uuid4(), uuid.uuid4(), "seal", [])
    assert caught.value.params == {"reason": "there is no such event"}
