"""Slots that a token (SoftHSM2) or a credential of systemd opens; what goes wrong with each is named."""

from __future__ import annotations

import secrets
import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest

from appliance.config import Settings
from appliance.errors import FupanError
from appliance.keyholder import ceremony as ceremonies
from appliance.keyholder import orders
from appliance.keyholder.orders import Action
from appliance.keyholder.vault_client import VaultKeyholder
from appliance.vault_errors import UnlockError, VaultChangeError
from tests.support import custodians
from tests.support.custodians import ME, give, init, unlock
from tests.support.keyholder import running_keyholder
from tests.support.softhsm import KEY, LABEL, MODULE, PIN, make_token


def problem_of(caught: pytest.ExceptionInfo[UnlockError]) -> object:
    return caught.value.params["problem"]


def init_by(settings: Settings, kind: str, **more: Any) -> uuid.UUID:
    """Make a vault whose one slot is a token's or a credential's."""
    vault = uuid.uuid4()
    order: dict[str, Any] = {"kind": kind, "suite": 1}
    orders.carry_out(
        settings,
        Action.VAULT_INIT,
        ME,
        lambda event: VaultKeyholder(settings).init(event, vault, **order, **more),
        vault,
        **order,
    )
    return vault


def init_by_token(settings: Settings) -> uuid.UUID:
    keyholder, vault = VaultKeyholder(settings), uuid.uuid4()
    asked = keyholder.begin_token(vault, LABEL, KEY)
    give(settings, asked, PIN, vault)
    order: dict[str, Any] = {"kind": "token", "suite": 1}
    orders.carry_out(
        settings,
        Action.VAULT_INIT,
        ME,
        lambda event: keyholder.init(event, vault, ceremony=str(asked.id), **order),
        vault,
        **order,
    )
    return vault


def add(settings: Settings, kind: str, ceremony: uuid.UUID | None = None) -> str:
    return orders.carry_out(
        settings,
        Action.VAULT_ADD_SLOT,
        ME,
        lambda event: VaultKeyholder(settings).add_slot(event, kind, ceremony),
        kind=kind,
    )


def remove(settings: Settings, slot: str) -> None:
    orders.carry_out(
        settings,
        Action.VAULT_REMOVE_SLOT,
        ME,
        lambda event: VaultKeyholder(settings).remove_slot(event, slot),
        slot=slot,
    )


# A token ---------------------------------------------------------------------------------------------


def test_a_token_makes_and_unlocks_a_vault_and_each_failure_is_named(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_token(tmp_path / "hsm", monkeypatch)
    site = custodians.installed(settings, token_module=str(MODULE))
    with running_keyholder(site):
        init_by_token(site)
        keyholder = VaultKeyholder(site)
        (slot,) = keyholder.vault().slots
        assert (slot.kind, slot.label, slot.key, slot.ready) == ("token", LABEL, KEY, False)
        orders.lock(site, ME)
        asked = keyholder.begin("unlock", "token")
        with pytest.raises(UnlockError) as caught:
            give(site, asked, "1111")
        assert problem_of(caught) == "wrong_pin"
        shutil.move(tmp_path / "hsm" / "tokens", tmp_path / "hsm" / "unplugged")
        (tmp_path / "hsm" / "tokens").mkdir()
        with pytest.raises(UnlockError) as caught:
            give(site, asked, PIN)
        assert problem_of(caught) == "token_gone"
        assert keyholder.vault().locked
        shutil.rmtree(tmp_path / "hsm" / "tokens")
        shutil.move(tmp_path / "hsm" / "unplugged", tmp_path / "hsm" / "tokens")
        keyholder.cancel(asked.id)  # the library looked for tokens once, at its start
        asked = keyholder.begin("unlock", "token")
        assert give(site, asked, PIN).complete
        orders.unlock(site, ME, "token")
        assert not keyholder.vault().locked


def test_wrong_pins_stop_before_the_token_locks_itself(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_token(tmp_path / "hsm", monkeypatch)
    site = custodians.installed(settings, token_module=str(MODULE))
    with running_keyholder(site):
        vault = init_by_token(site)
        orders.lock(site, ME)
        asked = VaultKeyholder(site).begin("unlock", "token")
        for _ in range(ceremonies.PINS_AT_ONCE):
            with pytest.raises(UnlockError, match="PIN is wrong"):
                give(site, asked, "00000", vault)
        with pytest.raises(UnlockError, match="Wait"):
            give(site, asked, PIN, vault)


def test_a_token_without_the_key_and_no_module_are_named(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_token(tmp_path / "hsm", monkeypatch)
    site = custodians.installed(settings, token_module=str(MODULE))
    with running_keyholder(site):
        vault = uuid.uuid4()
        for label, key, problem in ((LABEL, "another", "token_key"), ("nobody", KEY, "token_gone")):
            asked = VaultKeyholder(site).begin_token(vault, label, key)
            with pytest.raises(UnlockError) as caught:
                give(site, asked, PIN, vault)
            assert problem_of(caught) == problem
            VaultKeyholder(site).cancel(asked.id)
    with running_keyholder(custodians.installed(settings)):
        asked = VaultKeyholder(site).begin_token(vault, LABEL, KEY)
        with pytest.raises(UnlockError) as caught:
            give(site, asked, PIN, vault)
        assert problem_of(caught) == "token_module"


def test_a_pin_from_systemd_unlocks_at_the_start(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_token(tmp_path / "hsm", monkeypatch)
    site = custodians.installed(settings, token_module=str(MODULE))
    with running_keyholder(site):
        init_by_token(site)
    with running_keyholder(site):
        assert VaultKeyholder(site).vault().locked
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "fupan.token-pin").write_text(f"{PIN}\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    with running_keyholder(site):
        assert not VaultKeyholder(site).vault().locked


# A credential ----------------------------------------------------------------------------------------


def test_a_credential_makes_a_vault_and_unlocks_it_at_each_start(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = custodians.installed(settings)
    with running_keyholder(site), pytest.raises(UnlockError) as caught:
        init_by(site, "credential")
    assert problem_of(caught) == "credential"
    path = tmp_path / "credentials" / "fupan.vault"
    path.parent.mkdir()
    path.write_text(secrets.token_hex(32) + "\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(path.parent))
    with running_keyholder(site):
        init_by(site, "credential")
        orders.lock(site, ME)
        orders.unlock(site, ME)
    with running_keyholder(site):
        assert not VaultKeyholder(site).vault().locked
    path.write_text(secrets.token_hex(32))
    with running_keyholder(site):  # another key: it serves, locked, and says why when it is asked
        assert VaultKeyholder(site).vault().locked
        with pytest.raises(UnlockError) as caught:
            orders.unlock(site, ME)
        assert problem_of(caught) == "wrong_slot_key"


# Slots -----------------------------------------------------------------------------------------------


def test_slots_come_and_go_but_never_the_last_one(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_token(tmp_path / "hsm", monkeypatch)
    site = custodians.installed(settings, token_module=str(MODULE))
    with running_keyholder(site):
        shares = init(site)
        keyholder = VaultKeyholder(site)
        vault, (first,) = keyholder.vault().vault_id, keyholder.vault().slots
        with pytest.raises(VaultChangeError, match="last slot"):
            remove(site, first.id)
        with pytest.raises(FupanError, match="installed site"):
            add(site, "file")
        asked = keyholder.begin_token(vault, LABEL, KEY)
        give(site, asked, PIN)
        second = add(site, "token", asked.id)
        orders.lock(site, ME)
        give(site, keyholder.begin("unlock", "token"), PIN)
        orders.unlock(site, ME, "token")
        orders.lock(site, ME)
        unlock(site, shares[:2])
        remove(site, first.id)
        orders.lock(site, ME)
        with pytest.raises(UnlockError) as caught:
            unlock(site, shares[:2])
        assert problem_of(caught) == "no_slot"
        give(site, keyholder.begin("unlock", "token"), PIN)
        orders.unlock(site, ME, "token")
        assert [slot.id for slot in keyholder.vault().slots] == [second]
