"""Day keys at the end of their use: destroyed for a recorded order, never by the word of a doubtful database,
never half, and noticed when a restore brings one back."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock
from unittest.mock import Mock

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import text, update

from appliance.audit import log
from appliance.audit.log import Action, Actor
from appliance.config import Settings
from appliance.database import transaction
from appliance.errors import DatabaseDoubtfulError, KeyholderDownError, KeyRefusedError, VaultLockedError
from appliance.keyholder import day_keys
from appliance.keyholder.client import EpochProblem, Keyholder
from appliance.keyholder.clock import Clock
from appliance.keyholder.server import Server
from appliance.tables import attempt, recording, vault_alarm
from appliance.transport import transport_of
from appliance.upkeep import day_keys as upkeep
from storage.vault import Clock as BrowserClock
from storage.vault import KeyStore, build_opening, new_browser_key
from tests.support import factory
from tests.support.keyholder import journal_lines, running_keyholder, unlock
from tests.support.site import Site

NOW = dt.datetime.now(dt.UTC)
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
PAST = 10  # so many past days have keys
DAY = dt.timedelta(days=1)


def day(offset: int) -> str:
    return (NOW.date() + offset * DAY).isoformat()


# What is out of use: neither today's, nor yesterday's for a clock that is late, nor what is to come.
IDLE = [day(offset) for offset in range(-PAST, -1)]


@dataclass
class Vault:
    settings: Settings
    server: Server
    keyholder: Keyholder
    department: uuid.UUID

    @property
    def custody(self) -> Any:
        return self.server.service.desk.custody

    @property
    def kept(self) -> list[str]:
        return KeyStore(self.settings.keys_folder).list("day")

    def interview(self, begins: float, ends: float, state: str, kept: str, **more: Any) -> uuid.UUID:
        """Invited and closed so many days from the last midnight, the upload grace included."""
        times = {"created_at": MIDNIGHT + begins * DAY, "deadline": MIDNIGHT + (ends - 3) * DAY}
        made = factory.make_attempt(self.settings, self.department, state=kept, **times)
        with transaction("worker", self.settings) as tx:
            tx.execute(update(attempt).where(attempt.c.id == made).values(state=state))
            if more:
                tx.execute(update(recording).where(recording.c.id == made).values(**more))
        if kept == "sealed":
            self.custody.tree.create_recording_key(made, self.department, 2026)
        return made

    def order(self, *days: str, role: Any = "worker", **changes: Any) -> uuid.UUID:
        about = changes.get("vault", self.keyholder.status().vault_id)
        action = changes.get("action", Action.KEYS_DESTROY)
        outcome = changes.get("outcome", "ok")
        details = changes.get("details", {"days": list(days)})
        with transaction(role, self.settings) as tx:
            return log.append(tx, action, Actor.unit("worker"), "vault", about, outcome, details=details).id

    def destroy(self) -> list[str]:
        return upkeep.destroy(self.settings, transport_of(self.settings))

    def alarms(self) -> list[str]:
        return [alarm.kind for alarm in self.keyholder.alarms()]


@pytest.fixture
def vault(settings: Settings) -> Iterator[Vault]:
    """A vault with keys of past days, and one interview that is long over and cleared."""
    with running_keyholder(settings) as server:
        made = Vault(settings, server, Keyholder(settings), factory.make_department(settings))
        with mock.patch.object(day_keys, "DAYS_AHEAD", PAST):
            made.custody.days.publish(NOW.date() - PAST * DAY)
        made.interview(-30, -20, "finished", "sealed", journals_removed_at=NOW)
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


# --- a database that is not to be believed ------------------------------------------------------------------


def _signed_for(vault: Vault) -> uuid.UUID:
    made = uuid.uuid4()
    statement = {"type": "packet", "version": 1, "vault": str(vault.custody.vault_id), "recording": str(made)}
    vault.keyholder.sign(
        "packet", {**statement, "day_key": vault.keyholder.publics().current_day_key.to_json()}
    )
    return made


def _empty(vault: Vault) -> None:
    with transaction("owner", vault.settings) as tx:
        tx.execute(text("TRUNCATE attempt CASCADE"))


def _older_by_an_event(vault: Vault) -> None:
    made = vault.interview(-1, 5, "finished", "sealing")
    event = factory.worker_event(vault.settings, made, "seal")
    vault.keyholder.create_recording_key(made, vault.department, 2026, event.id)
    _forget_event(vault, event.seq)


def _forget_event(vault: Vault, seq: int) -> None:
    """As after a restore to the moment before it."""
    with transaction("owner", vault.settings) as tx:
        tx.execute(text("ALTER TABLE audit_event DISABLE TRIGGER audit_event_append_only"))
        tx.execute(text("DELETE FROM audit_event WHERE seq >= :seq"), {"seq": seq})
        tx.execute(text("ALTER TABLE audit_event ENABLE TRIGGER audit_event_append_only"))


def _events_of_another(vault: Vault) -> None:
    vault.order(vault=uuid.uuid4())


def _another_event_in_its_place(vault: Vault) -> None:
    made = vault.interview(-1, 5, "finished", "sealing")
    event = factory.worker_event(vault.settings, made, "seal")
    vault.keyholder.create_recording_key(made, vault.department, 2026, event.id)
    with transaction("owner", vault.settings) as tx:
        tx.execute(text("ALTER TABLE audit_event DISABLE TRIGGER audit_event_append_only"))
        tx.execute(text("UPDATE audit_event SET hash = sha256(hash) WHERE seq = :seq"), {"seq": event.seq})


def _rows_gone_keys_here(vault: Vault) -> None:
    vault.custody.tree.create_recording_key(uuid.uuid4(), vault.department, 2026)


def _sealed_without_a_key(vault: Vault) -> None:
    vault.interview(-9, -3, "finished", "sealing")
    with transaction("worker", vault.settings) as tx:
        tx.execute(update(recording).values(state="sealed", journals_removed_at=NOW))


def _clock_set(vault: Vault) -> None:
    wall = iter([0.0, 1e9])
    object.__setattr__(vault.server.service.desk, "clock", Clock(lambda: next(wall, 1e9), lambda: 0.0))


DOUBTFUL: dict[str, Callable[[Vault], object]] = {
    "empty": _empty,
    "older: an event is missing": _older_by_an_event,
    "older: an interview is missing": _signed_for,
    "of another vault": _events_of_another,
    "an event was changed": _another_event_in_its_place,
    "recordings are missing whose keys are here": _rows_gone_keys_here,
    "sealed without a key": _sealed_without_a_key,
    "the clock leapt": _clock_set,
}


@pytest.mark.parametrize("case", DOUBTFUL)
def test_a_doubtful_database_destroys_nothing_and_raises_an_alarm(vault: Vault, case: str) -> None:
    assert vault.keyholder.idle_day_keys() == IDLE  # the negative control
    DOUBTFUL[case](vault)
    with pytest.raises(DatabaseDoubtfulError):
        vault.destroy()
    event = vault.order(*IDLE)
    with pytest.raises(DatabaseDoubtfulError):
        vault.keyholder.destroy_day_keys(event)
    assert set(IDLE) <= set(vault.kept)
    assert vault.alarms() == ["day_keys_kept"] * 2


def test_a_vault_whose_making_was_given_up_is_no_other_vault(vault: Vault) -> None:
    with transaction("staff", vault.settings) as tx:
        for action in (Action.VAULT_INIT, Action.VAULT_SHARE, Action.VAULT_ACTIVATE):
            log.append(tx, action, Actor("unit", "cli"), "vault", uuid.uuid4())
    assert vault.keyholder.idle_day_keys() == IDLE


def test_an_interview_at_intake_that_the_database_does_not_know_destroys_nothing(vault: Vault) -> None:
    """After a restore of everything inside to a day before, the keyholder's journal included."""
    site = Site(vault.settings, vault.keyholder)
    [made] = site.invite()
    site.run_jobs()
    site.begun(made)
    with transaction("owner", vault.settings) as tx:
        tx.execute(text("TRUNCATE attempt CASCADE"))
    for _ in range(2):
        with pytest.raises(DatabaseDoubtfulError, match="1 interviews that intake holds"):
            vault.destroy()
    assert set(IDLE) <= set(vault.kept)
    [alarm] = site.staff_rows(vault_alarm)
    assert (alarm.kind, alarm.about) == ("intake_knows_more", {"count": 1, "recordings": [str(made)]})
    assert site.actions("vault", vault.custody.vault_id) == [Action.VAULT_ALARM]


def test_what_intake_has_made_up_stops_nothing(vault: Vault) -> None:
    log_of_none = vault.settings.intake_folder / "recordings" / str(uuid.uuid4()) / "records.log"
    log_of_none.parent.mkdir(parents=True)
    log_of_none.write_bytes(b"")
    assert vault.destroy() == IDLE


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
