"""Rekey and rotate: other keys above, the same keys below, and whatever is cut short goes on."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.config import Settings
from appliance.errors import KeyBackupError, VaultLockedError
from appliance.keyholder import orders, vault_file
from appliance.keyholder.custody import Custody
from appliance.keyholder.journal import Journal
from appliance.keyholder.orders import Action
from appliance.keyholder.rewrap import UNDER_THE_VAULT_KEY
from appliance.keyholder.server import Server
from appliance.keyholder.vault_client import VaultKeyholder
from appliance.upkeep import key_backup
from appliance.vault_errors import UnlockError, VaultChangeError
from storage.vault import IntegrityError, KeyStore, generations, parse_description, prove_generation, unwrap
from tests.support import custodians
from tests.support.custodians import ME, give_all, init, unlock
from tests.support.keyholder import running_keyholder, vault_key, with_key_backups
from tests.support.keyholder import unlock as unlock_by_file

DEPARTMENT, OTHER = uuid.uuid4(), uuid.uuid4()
RECORDINGS = [uuid.uuid4() for _ in range(6)]
PEOPLE = [uuid.uuid4() for _ in range(3)]


@pytest.fixture
def served(settings: Settings) -> Iterator[Server]:
    """An embedded site with keys of two departments and three people."""
    with running_keyholder(settings) as server:
        fill(server)
        yield server


def fill(server: Server) -> None:
    assert server.service.custody is not None
    tree = server.service.custody.tree
    for number, recording in enumerate(RECORDINGS):
        tree.create_recording_key(recording, DEPARTMENT if number % 2 else OTHER, 2026)
    for person in PEOPLE:
        tree.create_person_key(person)


def keys(settings: Settings, top: bytes) -> dict[tuple[str, str], bytes]:
    """Every key below the vault key, in the clear. Raises IntegrityError when one does not open."""
    store, found = KeyStore(settings.keys_folder), {}
    vault = str(vault_file.describe(settings).vault_id)
    for kind in UNDER_THE_VAULT_KEY:
        for name in store.list(kind):
            record = store.get(kind, name)
            if record.parent == vault:
                found[kind, name] = unwrap(top, record)
    for name in store.list("recording"):
        record = store.get("recording", name)
        found["recording", name] = unwrap(found["department-year", record.parent], record)
    return found


def ordered(settings: Settings, action: Action, name: str = "") -> None:
    """Rekey or rotate, and wait for its end."""
    keyholder = VaultKeyholder(settings)
    details = {"name": name} if name else {}
    orders.carry_out(
        settings,
        action,
        ME,
        (lambda event: keyholder.rotate(event, name)) if name else keyholder.rekey,
        **details,
    )
    while keyholder.rewrap_wait() is not None:
        pass


def test_a_rekey_wraps_every_key_anew_and_the_old_one_opens_nothing(
    settings: Settings, served: Server
) -> None:
    old = vault_key(settings)
    before, media = keys(settings, old), sorted(settings.vault_folder.rglob("*"))
    ordered(settings, Action.VAULT_REKEY)
    new = vault_key(settings)
    assert new != old
    assert keys(settings, new) == before
    store, vault = KeyStore(settings.keys_folder), str(vault_file.describe(settings).vault_id)
    tried = 0
    for kind in UNDER_THE_VAULT_KEY:
        for name in store.list(kind):
            if (record := store.get(kind, name)).parent == vault:
                tried += 1
                with pytest.raises(IntegrityError):
                    unwrap(old, record)
    assert tried >= 2 + len(PEOPLE) + 1
    assert sorted(settings.vault_folder.rglob("*")) == media
    with pytest.raises(IntegrityError):
        vault_file.describe(settings).require(old)
    orders.lock(settings, ME)
    unlock_by_file(settings)
    assert served.service.custody is not None
    served.service.custody.tree.create_recording_key(uuid.uuid4(), DEPARTMENT, 2027)


def test_a_rotation_wraps_one_departments_keys_anew(settings: Settings, served: Server) -> None:
    top, name = vault_key(settings), f"{DEPARTMENT}.2026"
    before = keys(settings, top)
    ordered(settings, Action.VAULT_ROTATE, name)
    after = keys(settings, top)
    assert {each for each in before if before[each] != after[each]} == {("department-year", name)}
    store, opened = KeyStore(settings.keys_folder), 0
    for each in store.list("recording"):
        record = store.get("recording", each)
        if record.parent == name:
            opened += 1
            with pytest.raises(IntegrityError):
                unwrap(before["department-year", name], record)
    assert opened == len(RECORDINGS) // 2
    assert served.service.custody is not None
    assert served.service.custody.tree.create_recording_key(RECORDINGS[1], DEPARTMENT, 2026) == name


def test_a_department_that_is_not_there_cannot_be_rotated(settings: Settings, served: Server) -> None:
    with pytest.raises(VaultChangeError, match="no department"):
        ordered(settings, Action.VAULT_ROTATE, f"{uuid.uuid4()}.2026")


class Killed(BaseException):
    """Stands in for the end of the process."""


@pytest.mark.parametrize("change", ["rekey", "rotate"])
def test_whatever_write_it_dies_at_the_next_unlock_goes_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Killed before and after each rename, again and again on one site, until it gets through."""
    name = f"{DEPARTMENT}.2026"
    with running_keyholder(settings) as server:
        fill(server)
        before = keys(settings, vault_key(settings))
    died = 0
    for after in (False, True):
        for at in range(200):
            if not _dies(settings, monkeypatch, change, name, at, after=after):
                break
            died += 1
            with running_keyholder(settings) as server:
                custody = server.service.custody
                assert custody is not None
                custody.rewrapping.wait()
                assert custody.description.pending is None
                now = keys(settings, vault_key(settings))
                changed = {each for each in before if before[each] != now[each]}
                assert changed <= ({("department-year", name)} if change == "rotate" else set())
                custody.tree.create_recording_key(RECORDINGS[1], DEPARTMENT, 2026)
        else:
            pytest.fail("it never got through")
    assert died > 10


def _dies(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, change: str, name: str, at: int, *, after: bool
) -> bool:
    """Begin the change in this process and die at its `at`-th rename; whether it died."""
    from dataclasses import replace as changed

    from appliance.keyholder.ceremony import Ceremonies
    from appliance.keyholder.keyring import Keyring
    from appliance.keyholder.memory import SecretBytes
    from storage.vault import Rekey, Rotate, new_key, parse_record, vault_check

    journal = Journal(vault_file.own_folder(settings) / "journal")
    custody = Custody(settings, journal)
    keyring = Keyring(settings, Ceremonies())
    (slot,) = custody.description.slots
    custody.unlock(slot, keyring.slot_key(custody.description, slot))
    renames, real = 0, os.replace

    def rename(self: object, target: object) -> object:
        nonlocal renames
        renames += 1
        if renames == at + 1 and not after:
            raise Killed
        real(str(self), str(target))
        if renames == at + 1 and after:
            raise Killed
        return target

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.replace", rename)
        patched.setattr("pathlib.Path.rename", rename)
        try:
            description = custody.description
            if change == "rekey":
                new = SecretBytes(new_key())
                with keyring.slot_key(description, slot) as slot_key:
                    moved = slot.rewrapped(slot_key, new.buffer, description.suite)
                pending = Rekey(vault_check(description.vault_id, new.buffer), (moved,))
                custody.begin_rekey(changed(description, pending=pending), new)
            else:
                record = parse_record(custody.vault_key.wrap("department-year", name, new_key()))
                custody.change(changed(description, pending=Rotate(record)))
            custody.rewrapping.finish()
        except Killed:
            return True
        finally:
            custody.lock()
            journal.close()
    return False


def test_keys_are_given_and_made_while_it_goes_on(
    settings: Settings, served: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a rotation recordings under either key open, and new ones get the new key."""
    custody = served.service.custody
    assert custody is not None
    name, real, seen = f"{DEPARTMENT}.2026", custody.store.replace, []
    fresh = uuid.uuid4()

    def replace(kind: str, key_id: str, record: bytes, replaces: bytes) -> None:
        if kind == "recording" and not seen:
            custody.tree.create_recording_key(fresh, DEPARTMENT, 2026)
            seen.extend(custody.tree.new_file_key(each, "track", "camera") for each in (*RECORDINGS, fresh))
        real(kind, key_id, record, replaces)

    monkeypatch.setattr(custody.store, "replace", replace)
    ordered(settings, Action.VAULT_ROTATE, name)
    assert len(seen) == len(RECORDINGS) + 1
    for header, key in seen:
        assert custody.tree.file_key(header) == key


def test_a_lock_in_the_middle_stops_it_and_the_next_unlock_ends_it(
    settings: Settings, served: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    custody = served.service.custody
    assert custody is not None
    before, real, replaced = keys(settings, vault_key(settings)), custody.store.replace, []

    def replace(kind: str, key_id: str, record: bytes, replaces: bytes) -> None:
        real(kind, key_id, record, replaces)
        replaced.append(key_id)
        if len(replaced) == 3:
            custody.lock()

    monkeypatch.setattr(custody.store, "replace", replace)
    keyholder = VaultKeyholder(settings)
    orders.carry_out(settings, Action.VAULT_REKEY, ME, keyholder.rekey)
    custody.rewrapping.wait()
    pending = keyholder.vault().pending
    assert pending is not None
    assert (pending.kind, pending.running) == ("rekey", False)
    with pytest.raises(VaultLockedError):
        custody.require_unlocked()
    unlock_by_file(settings)
    custody.rewrapping.wait()
    assert keyholder.vault().pending is None
    assert keys(settings, vault_key(settings)) == before


@pytest.mark.parametrize("how", ["rekey", "rotate"])
@pytest.mark.parametrize("then", ["restored", "moved away"])
def test_while_a_record_is_damaged_both_keys_stay(
    settings: Settings, served: Server, how: str, then: str
) -> None:
    """Its backup opens under the old one alone."""
    before = keys(settings, vault_key(settings))
    lost = ("person", str(PEOPLE[0])) if how == "rekey" else ("recording", str(RECORDINGS[1]))
    path = KeyStore(settings.keys_folder).path(*lost)
    kept = path.read_bytes()
    path.write_bytes(b"{}")
    custody, keyholder, name = served.service.custody, VaultKeyholder(settings), f"{DEPARTMENT}.2026"
    assert custody is not None
    if how == "rekey":
        orders.carry_out(settings, Action.VAULT_REKEY, ME, keyholder.rekey)
    else:
        orders.carry_out(
            settings, Action.VAULT_ROTATE, ME, lambda event: keyholder.rotate(event, name), name=name
        )
    custody.rewrapping.wait()
    pending = keyholder.vault().pending
    assert pending is not None
    assert (pending.kind, pending.running, pending.damaged) == (how, False, 1)
    for recording in RECORDINGS[2:]:
        custody.tree.new_file_key(recording, "track", "camera")
    if then == "restored":
        path.write_bytes(kept)
    else:
        path.unlink()
        del before[lost]
    orders.lock(settings, ME)
    unlock_by_file(settings)
    custody.rewrapping.wait()
    assert keyholder.vault().pending is None
    found = keys(settings, vault_key(settings))
    assert {each for each in before if before[each] != found[each]} <= {("department-year", name)}
    assert found.keys() == before.keys()


def test_what_was_erased_meanwhile_stays_erased(
    settings: Settings, served: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    custody = served.service.custody
    assert custody is not None
    real, erased = custody.store.get, str(PEOPLE[1])

    def get(kind: str, key_id: str) -> object:
        found = real(kind, key_id)
        if (kind, key_id) == ("person", erased):
            custody.store.destroy(kind, key_id)
        return found

    monkeypatch.setattr(custody.store, "get", get)
    ordered(settings, Action.VAULT_REKEY)
    assert not custody.store.path("person", erased).exists()


def test_a_rekey_asks_for_the_shares_again_and_they_stay_the_same(settings: Settings) -> None:
    site = custodians.installed(settings)
    with running_keyholder(site) as server:
        shares = init(site)
        fill(server)
        keyholder = VaultKeyholder(site)
        with pytest.raises(VaultChangeError, match="not at hand"):
            orders.carry_out(site, Action.VAULT_REKEY, ME, keyholder.rekey)
        give_all(site, shares[:2])
        before = vault_file.describe(site)
        orders.carry_out(site, Action.VAULT_REKEY, ME, keyholder.rekey)
        while keyholder.rewrap_wait() is not None:
            pass
        after = vault_file.describe(site)
        assert after.check != before.check
        assert after.slots[0].shares == before.slots[0].shares
        orders.lock(site, ME)
        with pytest.raises(UnlockError):
            unlock(site, shares[:1])
        give_all(site, shares[1:2])
        orders.unlock(site, ME, "shares")
        assert keyholder.vault().slots[0].set == 1


def test_one_change_at_a_time(settings: Settings, served: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    custody = served.service.custody
    assert custody is not None
    monkeypatch.setattr(custody.rewrapping, "start", lambda: None)
    keyholder = VaultKeyholder(settings)
    orders.carry_out(settings, Action.VAULT_REKEY, ME, keyholder.rekey)
    name = f"{DEPARTMENT}.2026"
    for change in (
        lambda: orders.carry_out(settings, Action.VAULT_REKEY, ME, keyholder.rekey),
        lambda: ordered(settings, Action.VAULT_ROTATE, name),
        lambda: custodians.reshare(settings),
        lambda: orders.carry_out(
            settings, Action.VAULT_ADD_SLOT, ME, lambda event: keyholder.add_slot(event, "file"), kind="file"
        ),
    ):
        with pytest.raises(VaultChangeError):
            change()
    monkeypatch.undo()
    custody.rewrapping.finish()
    assert dt.datetime.fromisoformat(keyholder.vault().created)
    assert keyholder.vault().pending is None


def test_a_backup_from_before_a_rekey_is_not_mixed_in(settings: Settings, tmp_path: Path) -> None:
    site = with_key_backups(settings)
    with running_keyholder(site) as server:
        fill(server)
        VaultKeyholder(site).backup_keys(again=True)
        (before,) = generations(site.data / "key-backups")
        kept = tmp_path / before.path.name
        shutil.copy(before.path, kept)
        ordered(site, Action.VAULT_REKEY)
        (after,) = generations(site.data / "key-backups")
        assert parse_description(prove_generation(after.path).description) == vault_file.describe(site)
    with pytest.raises(KeyBackupError, match="rekey"):
        key_backup.restore(site, kept, "test")
    KeyStore(site.keys_folder).path("person", str(PEOPLE[0])).unlink()
    assert key_backup.restore(site, after.path, "test").records == 1
