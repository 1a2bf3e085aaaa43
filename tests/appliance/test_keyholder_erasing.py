"""What the keyholder demands of an order to erase, and how much of it in a day."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from appliance import cli
from appliance.audit import log
from appliance.config import Settings
from appliance.database import transaction
from appliance.errors import KeyRefusedError
from appliance.keyholder.client import Keyholder
from appliance.keyholder.erase_client import ErasingKeyholder
from appliance.keyholder.server import Server
from appliance.stages import erase
from appliance.tables import vault_alarm
from tests.support import erasure as support
from tests.support import factory
from tests.support.site import Site


@pytest.fixture
def site(settings: Settings, server: Server) -> Site:
    return Site(settings, Keyholder(settings))


def test_more_than_ten_and_a_twentieth_in_a_day_wait_to_be_confirmed(site: Site, server: Server) -> None:
    for _ in range(12):
        made = factory.make_attempt(site.settings, site.department)
        factory.give_recording_key(site.settings, made, site.department)
        with transaction("staff", site.settings) as tx:
            erase.mark(tx, site.settings, site.recruiter, made, whole=True, basis="retention_ended")
    erase.tell_keyholder(site.settings)
    support.days_pass(server, 8)
    assert support.carry_out(site) == 10
    assert support.carry_out(site) == 0
    assert len(support.keys(site, "recording")) == 2
    [alarm] = site.rows(vault_alarm)
    assert (alarm.kind, alarm.about) == ("erasures_wait", {"count": 2})
    told = CliRunner().invoke(cli.main, ["erase", "confirm"], prog_name="fupan")
    assert (told.exit_code, "2 erasures are let go" in told.output) == (0, True)
    assert support.carry_out(site) == 2
    told = CliRunner().invoke(cli.main, ["erase", "confirm"], prog_name="fupan")
    assert told.output == "nothing waits to be confirmed\n"


def order(site: Site, mark: uuid.UUID, **changes: Any) -> uuid.UUID:
    """An order to erase as the worker writes it, or another."""
    keyholder = ErasingKeyholder(site.settings)
    details = {**keyholder.due_erasures().orders.get(mark, {}), "vault": str(keyholder.status().vault_id)}
    details |= changes.get("details", {})
    role: Any = changes.get("role", "worker")
    about = changes.get("about", mark)
    action = changes.get("action", log.Action.ERASE_RUN)
    with transaction(role, site.settings) as tx:
        return log.append(tx, action, log.Actor.unit("worker"), "erasure", about, details=details).id


OTHERS: tuple[dict[str, Any], ...] = (
    {"role": "staff"},
    {"about": uuid.uuid4()},
    {"action": log.Action.ERASE_DONE},
    {"details": {"vault": str(uuid.uuid4())}},
    {"details": {"recordings": []}},
    {"details": {"person": None}},
    {"details": {"kept": [str(uuid.uuid4())]}},
)


def test_an_order_that_says_something_else_erases_nothing(site: Site, server: Server) -> None:
    made = support.recorded(site)
    mark = support.mark(site, made)
    support.days_pass(server, 8)
    keyholder = ErasingKeyholder(site.settings)
    for changes in OTHERS:
        with pytest.raises(KeyRefusedError):
            keyholder.erase(mark, order(site, mark, **changes))
    with pytest.raises(KeyRefusedError):
        keyholder.erase(mark, uuid.uuid4())
    assert support.keys(site, "recording") == [str(made)]
    assert keyholder.erase(mark, order(site, mark)).recordings == (made,)


def test_before_its_days_are_over_no_order_helps(site: Site, server: Server) -> None:
    made = support.recorded(site, resume_too=False)
    mark = support.mark(site, made)
    told = {
        "mark": str(mark),
        "person": str(support.person_of(site, made)),
        "recordings": [str(made)],
        "kept": [],
    }
    with pytest.raises(KeyRefusedError) as caught:
        ErasingKeyholder(site.settings).erase(mark, order(site, mark, details=told))
    assert "not due" in str(caught.value.params["reason"])
    with pytest.raises(KeyRefusedError):
        ErasingKeyholder(site.settings).erasure_certificate(mark)


def test_a_clock_that_was_wrong_at_boot_makes_nothing_due(site: Site, server: Server) -> None:
    made = support.recorded(site, resume_too=False)
    support.mark(site, made)
    support.wrong_at_boot(server, 400)
    assert support.carry_out(site) == 0
    support.days_pass(server, 8)
    assert support.carry_out(site) == 1


def test_a_mark_of_somebody_elses_recording_erases_nothing(site: Site, server: Server) -> None:
    """As whoever writes into the database by hand might make it."""
    made, other = support.recorded(site, "ming"), support.recorded(site, "hong")
    mark = uuid.uuid4()
    person = support.person_of(site, made)
    details = {
        "person": str(person),
        "whole": True,
        "recordings": [str(other)],
        "basis": "request",
        "case": "",
    }
    with transaction("staff", site.settings) as tx:
        tx.execute(
            text(
                "INSERT INTO erasure (id, person_id, whole, recordings, basis, marked_by, due_at)"
                " VALUES (:id, :person, true, ARRAY[:other]::uuid[], 'request', :by, now())"
            ),
            {"id": mark, "person": person, "other": other, "by": site.recruiter.account_id},
        )
        actor = log.Actor.of(site.recruiter)
        log.append(tx, log.Action.ERASE_MARK, actor, "erasure", mark, details=details)
    erase.tell_keyholder(site.settings)
    support.days_pass(server, 30)
    assert support.carry_out(site) == 0
    assert len(support.keys(site, "recording")) == 2


def test_a_mark_is_written_down_before_the_first_unlock_too(
    site: Site, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its days begin when the keyholder hears of it, not when somebody unlocks."""
    made = support.recorded(site, resume_too=False)
    server.service.custody.lock()
    monkeypatch.setattr(server.service.custody.erasures, "_ledger", None)  # as after a start
    with transaction("staff", site.settings) as tx:
        erase.mark(tx, site.settings, site.recruiter, made, whole=True, basis="request")
    assert ErasingKeyholder(site.settings).heed_erasures() == 1
    assert ErasingKeyholder(site.settings).heed_erasures() == 0
