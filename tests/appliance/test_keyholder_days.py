"""Day keys in the keyholder: which are made, which are stated, which a packet may name."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest

from appliance import packet
from appliance.config import Settings
from appliance.day_list import parse_day_list
from appliance.errors import KeyRefusedError
from appliance.keyholder import vault_file
from appliance.keyholder.answers import plain
from appliance.keyholder.client import Keyholder
from appliance.keyholder.key_backups import KeyBackups
from storage.vault import KeyRecord, KeyStore
from tests.support.keyholder import running_keyholder
from tests.support.keyholder import unlock as unlock_now

TODAY = dt.datetime.now(dt.UTC).date()
DAY = dt.timedelta(days=1)


def later(monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    monkeypatch.setattr(plain, "_today", lambda: TODAY + days * DAY)


def ids(keyholder: Keyholder) -> list[str]:
    return [key.id for key in keyholder.publics().day_keys]


def test_the_list_is_proven_by_the_service_key_and_stays_the_same(keyholder: Keyholder) -> None:
    publics = keyholder.publics()
    assert publics.day_list is not None
    stated = packet.open_envelope(publics.day_list, publics.service_keys, "day_keys")
    listed = parse_day_list(stated)
    assert listed.vault == publics.vault_id
    assert [(key.id, key.public) for key in listed.keys] == [(key.id, key.public) for key in publics.day_keys]
    assert keyholder.publics().day_list == publics.day_list


def test_every_listed_key_has_a_statement_and_a_record_of_its_own(
    settings: Settings, keyholder: Keyholder
) -> None:
    publics, store = keyholder.publics(), KeyStore(settings.keys_folder)
    for key in publics.day_keys:
        stated = packet.open_envelope(key.signature.encode(), publics.service_keys, "day_key")
        assert stated["id"] == stated["day"] == key.id
        assert store.get("day", key.id).public == key.public
    assert store.list("day") == ids(keyholder)


def test_locked_no_key_is_made_and_unlocking_makes_them(
    settings: Settings, keyholder: Keyholder, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyholder.lock()
    later(monkeypatch, 10)
    known = ids(keyholder)
    assert known == [str(TODAY + DAY)]
    assert keyholder.publics().current_day_key.id == str(TODAY + DAY)
    unlock_now(settings)
    assert ids(keyholder) == [*known, str(TODAY + 10 * DAY), str(TODAY + 11 * DAY)]


def test_a_gap_that_a_leaping_clock_left_is_filled(
    keyholder: Keyholder, monkeypatch: pytest.MonkeyPatch
) -> None:
    later(monkeypatch, 3)
    keyholder.publics()
    later(monkeypatch, 1)
    assert ids(keyholder) == [str(TODAY + n * DAY) for n in range(5)]


def test_where_keys_are_backed_up_one_that_is_not_yet_is_not_published(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    backed_up: set[str] = set()
    monkeypatch.setattr(KeyBackups, "holds", lambda _self, _kind, key_id: key_id in backed_up)
    with running_keyholder(settings):
        keyholder = Keyholder(settings)
        assert ids(keyholder) == []
        assert KeyStore(settings.keys_folder).list("day") == [str(TODAY), str(TODAY + DAY)]
        keyholder.lock()
        backed_up.add(str(TODAY))
        assert ids(keyholder) == [str(TODAY)]  # stating needs no vault key


def test_a_record_that_does_not_open_is_left_out_and_the_others_are_published(
    settings: Settings, keyholder: Keyholder
) -> None:
    keyholder.lock()
    store, tomorrow = KeyStore(settings.keys_folder), str(TODAY + DAY)
    other = store.get("day", str(TODAY))
    spoilt = KeyRecord(**{**vars(other), "id": tomorrow})  # wrapped as another
    store.path("day", tomorrow).write_bytes(spoilt.encode())
    (vault_file.own_folder(settings) / "day-keys" / f"{tomorrow}.json").unlink()
    unlock_now(settings)
    assert ids(keyholder) == [str(TODAY)]


@pytest.mark.parametrize(("offset", "taken"), [(0, True), (-1, True), (1, False), (-2, False)])
def test_a_packet_names_a_day_key_that_is_in_use(
    keyholder: Keyholder, monkeypatch: pytest.MonkeyPatch, offset: int, taken: bool
) -> None:
    """Yesterday's still counts, for a packet written before midnight."""
    known: dict[int, Any] = {}
    for days in (0, 2, 3):  # two days ahead of the last are known at the end
        later(monkeypatch, days)
        publics = keyholder.publics()
        known |= {(dt.date.fromisoformat(key.id) - TODAY).days: key for key in publics.day_keys}
    named = known[3 + offset]
    statement = {"type": "packet", "version": 1, "vault": str(publics.vault_id)}
    statement |= {"recording": str(uuid.uuid4()), "day_key": named.to_json()}
    if taken:
        assert keyholder.sign("packet", statement)
        return
    with pytest.raises(KeyRefusedError):
        keyholder.sign("packet", statement)
