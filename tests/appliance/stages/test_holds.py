"""Legal holds: what they keep, those that a restore lost, and those that come too late."""

from __future__ import annotations

import json
import threading
import uuid
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import delete, select, text

from appliance import cli
from appliance.database import transaction
from appliance.domain import Role
from appliance.errors import (
    ConflictError,
    FupanError,
    InvalidInputError,
)
from appliance.keyholder.erase_client import ErasingKeyholder
from appliance.keyholder.server import Server
from appliance.stages.decide import notes
from appliance.stages.erase import holds
from appliance.stages.talent import resume
from appliance.tables import (
    candidate,
    erasure,
    legal_hold,
)
from tests.support import erasure as support
from tests.support import factory, papers
from tests.support.site import Site


def fupan(*arguments: str) -> tuple[int, str]:
    """The exit code of a command, and what it says."""
    done = CliRunner().invoke(cli.main, arguments, prog_name="fupan")
    return done.exit_code, done.output


def test_a_hold_of_a_person_keeps_everything_until_it_is_lifted(site: Site, server: Server) -> None:
    made = support.recorded(site)
    support.mark(site, made)
    officer, hold = support.hold(site, support.person_of(site, made))
    support.days_pass(server, 30)
    assert support.carry_out(site) == 0
    assert support.keys(site, "recording") == [str(made)]
    with transaction("staff", site.settings) as tx:
        holds.lift(tx, officer, hold)
    assert support.carry_out(site) == 1
    assert support.keys(site, "recording") == support.keys(site, "person") == []


def test_a_hold_of_one_recording_keeps_that_and_its_name_and_is_on_the_certificate(
    site: Site, server: Server
) -> None:
    kept = support.recorded(site)
    [other] = site.invite("ming")
    site.run_jobs()
    support.sealed(site, other)
    mark = support.mark(site, kept)
    support.hold(site, kept)
    support.days_pass(server, 30)
    assert support.carry_out(site) == 1
    assert support.keys(site, "recording") == [str(kept)]
    assert support.keys(site, "person") == []
    entry = ErasingKeyholder(site.settings).erasure(mark)
    assert entry is not None
    assert (entry.recordings, entry.kept) == ((other,), (kept,))
    [row] = site.rows(erasure)
    assert json.loads(row.certificate["statement"])["kept"] == [str(kept)]
    [person] = site.rows(candidate)
    assert person.name == "ming"
    with pytest.raises(FupanError):
        resume.keep(site.settings, site.recruiter, kept, lambda: papers.PDF)
    assert notes.opened(site.settings, site.recruiter, kept)


def test_a_hold_beats_a_database_that_forgot_it(site: Site, server: Server) -> None:
    """The keyholder wrote it down when it was set."""
    made = support.recorded(site)
    support.mark(site, made)
    support.hold(site, made)
    with transaction("owner", site.settings) as tx:
        tx.execute(text("DELETE FROM legal_hold"))
    support.days_pass(server, 30)
    with transaction("keyholder", site.settings) as tx:
        assert tx.scalar(select(erasure.c.state)) == "marked"
    assert support.carry_out(site) == 1  # the person's key goes, the recording stays
    assert support.keys(site, "recording") == [str(made)]


def test_a_hold_that_a_restore_lost_is_lifted_at_the_server(site: Site, server: Server) -> None:
    made, other = support.recorded(site), support.recorded(site, "hong", resume_too=False)
    support.mark(site, made, whole=False)
    _, hold = support.hold(site, made)
    _, there = support.hold(site, other)
    with transaction("owner", site.settings) as tx:
        tx.execute(delete(legal_hold).where(legal_hold.c.id == hold))
    support.days_pass(server, 30)
    assert support.carry_out(site) == 0
    assert fupan("erase", "lift") == (0, f"{hold} keeps {made}\n")
    assert fupan("erase", "lift", str(there))[0] == 1  # the page has that one
    assert fupan("erase", "lift", str(hold)) == (0, "the hold is lifted\n")
    assert fupan("erase", "lift") == (0, "no hold lacks its row\n")
    assert site.actions("hold", hold) == ["erase:hold", "erase:lift-hold"]
    assert support.carry_out(site) == 1
    assert support.keys(site, "recording") == [str(other)]


def test_a_hold_that_came_too_late_by_a_moment_is_not_claimed(
    site: Site, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It commits after the keyholder has read that there is none, and before the ledger's entry."""
    made, other, spared = (support.recorded(site, name, resume_too=False) for name in ("ming", "hong", "lei"))
    numbers = [made, support.person_of(site, other)]
    officer = factory.make_user(site.settings, Role.SECURITY_ADMIN)
    erasures, late = server.service.custody.erasures, []
    real, tell, threads = erasures.erase, holds.tell_keyholder, list[threading.Thread]()

    def hold(number: uuid.UUID) -> None:
        with pytest.raises(holds.LateHoldError) as caught:
            holds.place(site.settings, officer, str(number), "dispute")
        late.append(str(caught.value))

    def erase_then(*arguments: Any) -> Any:
        committed = threading.Event()
        monkeypatch.setattr(holds, "tell_keyholder", lambda given: (committed.set(), tell(given)))
        threads.append(threading.Thread(target=hold, args=(numbers[len(threads)],)))
        threads[-1].start()
        assert committed.wait(20)
        return real(*arguments)

    for each in (made, other):
        support.mark(site, each, whole=False)
    support.days_pass(server, 8)
    monkeypatch.setattr(erasures, "erase", erase_then)
    assert support.carry_out(site) == 2
    for thread in threads:
        thread.join()
    assert sorted(words.rpartition(". ")[2] for words in late) == [
        "Nothing is held.",
        "What is left is held.",
    ]
    assert {row.lifted_at is None for row in site.rows(legal_hold, recording_id=made)} == {False}
    holds.place(site.settings, officer, str(spared), "dispute")


def test_a_hold_is_lifted_once(site: Site) -> None:
    [made] = site.invite()
    officer, hold = support.hold(site, made)
    for _ in (1, 2):
        with pytest.raises(InvalidInputError), transaction("staff", site.settings) as tx:
            holds.set_hold(tx, officer, "nobody", "dispute")
    with transaction("staff", site.settings) as tx:
        holds.lift(tx, officer, hold)
    with pytest.raises(ConflictError), transaction("staff", site.settings) as tx:
        holds.lift(tx, officer, hold)
