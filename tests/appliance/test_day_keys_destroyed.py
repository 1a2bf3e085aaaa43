"""Day keys at the end of their use: destroyed for a recorded order, never half, and noticed when a restore
brings one back."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock
from unittest.mock import Mock

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import text, update

from appliance.audit.log import Action
from appliance.config import Settings
from appliance.database import transaction
from appliance.errors import KeyholderDownError, KeyRefusedError, VaultLockedError
from appliance.keyholder import day_keys
from appliance.keyholder.client import EpochProblem
from appliance.tables import attempt
from storage.vault import Clock as BrowserClock
from storage.vault import KeyStore, build_opening, new_browser_key
from tests.support import factory
from tests.support.idle_days import DAY, IDLE, NOW, PAST, Vault, day, with_idle_days
from tests.support.keyholder import journal_lines, unlock


@pytest.fixture
def vault(settings: Settings) -> Iterator[Vault]:
    with with_idle_days(settings) as made:
        yield made


# --- what is destroyed, and for what ------------------------------------------------------------------------


def test_what_nothing_needs_is_destroyed_by_a_recorded_order_and_stays_so(vault: Vault) -> None:
    assert vault.destroy() == IDLE
    assert vault.kept == [day(-1), day(0), day(1)]
    with transaction("auditor", vault.settings) as tx:
        body = tx.scalar(text("SELECT body FROM audit_event WHERE action = 'keys:destroy-day'"))
    event = json.loads(body)["event"]
    assert (event["details"]["days"], event["outcome"]) == (IDLE, "ok")
    lines = [json.loads(line) for line in journal_lines(vault.settings)]
    assert [line["day"] for line in lines if line["op"] == "destroy_day_key"] == IDLE
    assert [key_id for kind, key_id in vault.custody.erasures.chain().destroyed if kind == "day"]
    assert vault.destroy() == []  # and no further event
    with mock.patch.object(day_keys, "DAYS_AHEAD", PAST):
        vault.custody.days.publish(NOW.date() - PAST * DAY)  # as by a clock that was set back
    assert vault.kept == [day(-1), day(0), day(1)]
    published = [key.id for key in vault.custody.days.published()]
    assert published == [day(-1), day(0), day(1)]


HOLD: dict[str, tuple[tuple[Any, ...], dict[str, Any], int]] = {
    "not begun": ((-3, 4, "invited", "collecting"), {}, -4),
    "being recorded": ((-3, 4, "recording", "collecting"), {}, -4),
    "expired, but its uploads are taken": ((-6, 0.5, "expired", "collecting"), {}, -7),
    "waits to be sealed": ((-8, -2, "finished", "sealing"), {"problem": "vault_locked"}, -9),
    "could not be sealed": ((-8, -2, "finished", "failed"), {"problem": "timeout"}, -9),
    "sealed, its journals still there": ((-8, -2, "finished", "sealed"), {}, -9),
    "sealed, and not whole": ((-8, -2, "finished", "sealed"), {"problem": "damaged"}, -9),
    "over, and not taken in": ((-8, -2, "recording", "collecting"), {}, -9),
}


@pytest.mark.parametrize("case", HOLD)
def test_what_may_still_be_opened_holds_the_keys_of_its_days(vault: Vault, case: str) -> None:
    of, more, first = HOLD[case]
    vault.interview(*of, **more)
    held = [each for each in IDLE if day(first) <= each <= day(int(of[1]) + 1)]
    assert held
    assert vault.destroy() == [each for each in IDLE if each not in held]


def test_a_file_that_somebody_left_among_the_keys_holds_none(vault: Vault) -> None:
    (vault.settings.keys_folder / "day" / "kept-by-admin.key").write_bytes(b"")
    assert vault.destroy() == IDLE


def test_a_key_that_intake_bound_with_by_a_wrong_clock_is_held_too(vault: Vault) -> None:
    made = vault.interview(-3, 4, "recording", "collecting")
    factory.pin_browser_key(vault.settings, made, bytes(65))
    with transaction("worker", vault.settings) as tx:
        tx.execute(text("UPDATE browser_key SET day_key_id = :day"), {"day": day(-PAST)})
    destroyed = vault.destroy()
    assert day(-PAST) not in destroyed
    assert day(-PAST + 1) in destroyed


def test_a_key_that_a_packet_names_is_held_as_long_as_its_interview(vault: Vault) -> None:
    """What the keyholder signed it knows by itself."""
    made = vault.interview(-3, 4, "invited", "collecting")
    old = next(key for key in vault.custody.days.published() if key.id == day(-PAST))
    then = NOW.date() - PAST * DAY
    with mock.patch("appliance.keyholder.answers.plain._today", return_value=then):
        statement = {"type": "packet", "version": 1, "vault": str(vault.custody.vault_id)}
        vault.keyholder.sign("packet", {**statement, "recording": str(made), "day_key": old.to_json()})
    assert day(-PAST) not in vault.destroy()


def test_the_latest_of_all_deadlines_counts(vault: Vault) -> None:
    """A fresh link with an earlier deadline does not take back the packet before."""
    made = vault.interview(-8, 4, "expired", "collecting")
    with transaction("staff", vault.settings) as tx:
        moved = update(attempt).where(attempt.c.id == made)
        tx.execute(moved.values(deadline=NOW - 7 * DAY))
    assert vault.destroy() == [day(-PAST)]


def test_a_day_without_a_key_of_its_own_was_that_of_the_key_before(vault: Vault) -> None:
    for offset in range(-8, -4):
        KeyStore(vault.settings.keys_folder).path("day", day(offset)).unlink()
        (vault.settings.data / "keyholder" / "day-keys" / f"{day(offset)}.json").unlink()
    vault.interview(-6, -5.5, "finished", "failed")
    assert vault.destroy() == [day(-10), day(-4), day(-3), day(-2)]


# --- by whose order -----------------------------------------------------------------------------------------

REFUSED: dict[str, Callable[[Vault], uuid.UUID]] = {
    "there is none": lambda vault: uuid.uuid4(),
    "by staff": lambda vault: vault.order(*IDLE, role="staff"),
    "of another vault": lambda vault: vault.order(*IDLE, vault=uuid.uuid4()),
    "another action": lambda vault: vault.order(*IDLE, action=Action.VAULT_LOCK),
    "that failed": lambda vault: vault.order(*IDLE, outcome="failed"),
    "without days": lambda vault: vault.order(details={"days": "all"}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_without_a_proper_order_nothing_is_destroyed(vault: Vault, case: str) -> None:
    event = REFUSED[case](vault)
    with pytest.raises(KeyRefusedError):
        vault.keyholder.destroy_day_keys(event)
    assert set(IDLE) <= set(vault.kept)


def test_an_order_is_for_the_days_it_names_and_once(vault: Vault) -> None:
    event = vault.order(IDLE[0], day(0), "2020-01-01")
    assert vault.keyholder.destroy_day_keys(event) == [IDLE[0]]
    with pytest.raises(KeyRefusedError):
        vault.keyholder.destroy_day_keys(event)
    assert vault.kept[0] == IDLE[1]


def test_an_old_order_is_none(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    event = vault.order(*IDLE)
    monkeypatch.setattr("appliance.keyholder.day_gate.ORDER_SECONDS", -1)
    with pytest.raises(KeyRefusedError):
        vault.keyholder.destroy_day_keys(event)
    assert set(IDLE) <= set(vault.kept)


def test_locked_nothing_is_destroyed(vault: Vault) -> None:
    event = vault.order(*IDLE)
    vault.keyholder.lock()
    for ask in (
        vault.destroy,
        lambda: vault.keyholder.destroy_day_keys(event),
        vault.keyholder.idle_day_keys,
    ):
        with pytest.raises(VaultLockedError):
            ask()
    assert set(IDLE) <= set(vault.kept)


# --- half done, and brought back ----------------------------------------------------------------------------


class Opening:
    """An epoch of a recording that is being sealed, under the key of a past day."""

    def __init__(self, vault: Vault, name: str) -> None:
        self.vault, browser = vault, new_browser_key()
        self.made = vault.interview(0, 5, "finished", "sealing")
        point = browser.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        factory.pin_browser_key(vault.settings, self.made, point)
        known = {key.id: key.public for key in vault.custody.days.published()}
        opening, self.key = build_opening(
            vault_id=vault.custody.vault_id,
            recording_id=self.made,
            track="camera",
            day_key_id=name,
            recipients={name: known[name]},
            browser_key=browser,
            mime="video/webm",
            clock=BrowserClock(bytes(16), 0.0, 0.0),
        )
        self.raw = opening.raw

    def opened(self) -> bytes | EpochProblem:
        event = factory.worker_event(self.vault.settings, self.made, "seal")
        return self.vault.keyholder.epoch_keys(self.made, event.id, "seal", [self.raw])[0]


def test_once_destroyed_nothing_that_was_sealed_to_it_opens(vault: Vault) -> None:
    opening = Opening(vault, IDLE[0])
    assert opening.opened() == opening.key
    assert IDLE[0] in vault.destroy()
    assert opening.opened() == EpochProblem("day_key")


def test_cut_short_it_is_not_given_any_more_and_gone_after_the_next_unlock(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = Opening(vault, IDLE[0])
    with monkeypatch.context() as crash:
        crash.setattr(KeyStore, "destroy", Mock(side_effect=OSError("the power went")))
        with pytest.raises(KeyholderDownError):
            vault.destroy()
    assert IDLE[0] in vault.kept
    assert opening.opened() == EpochProblem("day_key")
    assert IDLE[0] not in [key.id for key in vault.keyholder.publics().day_keys]
    vault.keyholder.lock()
    unlock(vault.settings)
    assert IDLE[0] not in vault.kept
    assert vault.destroy() == IDLE[1:]


def test_a_key_that_a_restore_brought_back_is_neither_used_nor_kept(vault: Vault) -> None:
    opening = Opening(vault, IDLE[0])
    record = KeyStore(vault.settings.keys_folder).path("day", IDLE[0])
    statement = vault.settings.data / "keyholder" / "day-keys" / f"{IDLE[0]}.json"
    before = {path: path.read_bytes() for path in (record, statement)}
    vault.destroy()
    for path, content in before.items():
        path.write_bytes(content)
    assert opening.opened() == EpochProblem("day_key")
    assert IDLE[0] not in [key.id for key in vault.custody.days.published()]
    vault.keyholder.lock()
    unlock(vault.settings)
    assert [path.exists() for path in before] == [False, False]
