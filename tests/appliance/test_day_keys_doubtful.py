"""Day keys and a database that is not to be believed: nothing goes by its word, and an alarm says so."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import text, update

from appliance.audit import log
from appliance.audit.log import Action, Actor
from appliance.config import Settings
from appliance.database import transaction
from appliance.errors import DatabaseDoubtfulError
from appliance.keyholder.clock import Clock
from appliance.tables import recording, vault_alarm
from tests.support import factory
from tests.support.idle_days import IDLE, NOW, Vault, with_idle_days
from tests.support.site import Site


@pytest.fixture
def vault(settings: Settings) -> Iterator[Vault]:
    with with_idle_days(settings) as made:
        yield made


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
