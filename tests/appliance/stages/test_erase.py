"""Erasing: a mark and its days, holds, what goes and what stays, every point at which a run may be cut."""

from __future__ import annotations

import json
import threading
import uuid
from typing import Any

import pytest
from sqlalchemy import text

from appliance import jobs
from appliance.audit import log
from appliance.database import transaction
from appliance.domain import Role
from appliance.erasing import ErasedError
from appliance.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    VaultLockedError,
)
from appliance.keyholder.erase_client import ErasingKeyholder
from appliance.keyholder.server import Server
from appliance.packet import PacketError
from appliance.stages import erase, invite, replay
from appliance.stages.erase import holds, removal, run
from appliance.stages.talent import resume
from appliance.tables import (
    candidate,
    document,
    erasure,
    intake_record,
    note,
    outgoing_mail,
    person_document,
    recording,
    track,
)
from appliance.transport import transport_of
from storage.vault import Vault
from tests.support import erasure as support
from tests.support import factory, papers
from tests.support.site import Site


def test_a_mark_waits_its_days_and_then_everything_goes(site: Site, server: Server) -> None:
    made, other = support.recorded(site, "ming"), support.recorded(site, "hong")
    person = support.person_of(site, made)
    mark = support.mark(site, made)
    for days in (0, 6.9):
        support.days_pass(server, days)
        assert support.carry_out(site) == 0
        assert support.keys(site, "recording") == sorted([str(made), str(other)])
    support.days_pass(server, 7.1)
    assert support.carry_out(site) == 1
    assert support.keys(site, "recording") == [str(other)]
    assert support.keys(site, "person") == [str(support.person_of(site, other))]
    vault = Vault(site.settings.vault_folder)
    assert set(vault.recordings()) == {other, support.person_of(site, other)}
    for table in (note, document, track):
        assert {row.recording_id for row in site.rows(table)} == {other}
    assert {row.person_id for row in site.rows(person_document)} == {support.person_of(site, other)}
    assert not site.rows(intake_record, attempt_id=made)
    [row] = site.rows(candidate, id=person)
    assert (row.name, row.email) == ("—", "—")
    assert row.erased_at is not None
    assert site.row(recording, made).state == "erased"
    assert {mail.recipient for mail in site.rows(outgoing_mail, attempt_id=made)} == {"—"}
    assert not any("ming" in str(letter) for letter in site.mails())
    assert len(site.mails()) == 1
    intake = site.settings.intake_folder
    assert not list(intake.glob(f"*/{made}*/**/*"))
    assert (intake / "tombstones" / f"{made}.tombstone").exists()
    [found] = site.rows(erasure)
    assert (found.state, found.ledger_seq, found.id) == ("erased", 1, mark)
    assert json.loads(found.certificate["statement"])["recordings"] == [str(made)]
    assert site.actions("erasure", mark) == ["erase:mark", "erase:run", "erase:done"]
    with transaction("auditor", site.settings) as tx:
        assert log.verify(tx).ok
    assert support.carry_out(site) == 0
    assert site.actions("erasure", mark) == ["erase:mark", "erase:run", "erase:done"]


def test_one_interview_alone(site: Site, server: Server) -> None:
    made = support.recorded(site)
    support.mark(site, made, whole=False)
    support.days_pass(server, 8)
    for task in ("erase_due", "erase_again"):  # by the queue, as the scheduler has it
        with transaction("worker", site.settings) as tx:
            jobs.enqueue(tx, task)
    site.run_jobs()
    assert support.keys(site, "recording") == []
    assert support.keys(site, "person") == [str(support.person_of(site, made))]
    [row] = site.rows(candidate)
    assert row.name == "ming"
    assert resume.opened(site.settings, site.recruiter, made, 1).data == papers.PDF
    with pytest.raises(ErasedError):
        replay.open_view(site.settings, site.recruiter, made)
    with pytest.raises(ErasedError), transaction("staff", site.settings) as tx:
        erase.mark(tx, site.settings, site.recruiter, made, whole=False, basis="request")


def test_a_file_that_somebody_left_among_the_keys_stops_no_erasure(site: Site, server: Server) -> None:
    made = support.recorded(site, resume_too=False)
    support.mark(site, made)
    support.days_pass(server, 8)
    left = site.settings.keys_folder / "recording" / "kept-by-admin.key"
    left.write_bytes(b"")
    assert support.carry_out(site) == 1
    assert support.keys(site, "recording") == []
    assert left.exists()


def test_a_mark_that_was_taken_back_erases_nothing(site: Site, server: Server) -> None:
    made = support.recorded(site, resume_too=False)
    mark = support.mark(site, made)
    with pytest.raises(ConflictError), transaction("staff", site.settings) as tx:
        erase.mark(tx, site.settings, site.recruiter, made, whole=False, basis="request")
    with transaction("staff", site.settings) as tx:
        erase.withdraw(tx, site.recruiter, mark)
    support.days_pass(server, 30)
    assert support.carry_out(site) == 0
    assert support.keys(site, "recording") == [str(made)]
    with pytest.raises(ConflictError), transaction("staff", site.settings) as tx:
        erase.withdraw(tx, site.recruiter, mark)
    with transaction("owner", site.settings) as tx:  # as whoever owns the table might
        tx.execute(text("UPDATE erasure SET state = 'marked', withdrawn_at = NULL"))
    assert support.carry_out(site) == 0
    assert support.keys(site, "recording") == [str(made)]
    with transaction("owner", site.settings) as tx:
        tx.execute(text("UPDATE erasure SET state = 'withdrawn'"))
    again = support.mark(site, made)
    assert support.marks_of(site) == {mark: "withdrawn", again: "marked"}


def test_who_may_mark_withdraw_and_hold(site: Site) -> None:
    made = support.recorded(site, resume_too=False)
    own = factory.make_user(site.settings, Role.DEPARTMENT_HEAD, site.department)
    stranger = factory.make_user(site.settings, Role.RECRUITER, factory.make_department(site.settings))
    officer = factory.make_user(site.settings, Role.SECURITY_ADMIN)
    for user in (own, stranger, officer):
        with pytest.raises(NotFoundError), transaction("staff", site.settings) as tx:
            erase.mark(tx, site.settings, user, made, whole=True, basis="request")
    mark = support.mark(site, made)
    for user in (stranger, officer):
        with pytest.raises(NotFoundError), transaction("staff", site.settings) as tx:
            erase.withdraw(tx, user, mark)
    for user in (own, site.recruiter):
        with pytest.raises(NotFoundError), transaction("staff", site.settings) as tx:
            holds.set_hold(tx, user, str(made), "dispute")
    with transaction("staff", site.settings) as tx:
        erase.withdraw(tx, own, mark)


def test_no_words_about_a_person(site: Site) -> None:
    [made] = site.invite()
    for case in ("王小明", "a case", "x" * 41, "<b>"):
        for wrong in ({"basis": "request", "case": case}, {"basis": case}):
            with pytest.raises(InvalidInputError), transaction("staff", site.settings) as tx:
                erase.mark(tx, site.settings, site.recruiter, made, whole=True, **wrong)


def test_nobody_marked_is_invited_and_whoever_was_erased_begins_anew(site: Site, server: Server) -> None:
    first = support.recorded(site, "ming")
    support.mark(site, first)
    with pytest.raises(InvalidInputError, match="marked for erasure"):
        site.invite("ming")
    with pytest.raises(ConflictError), transaction("staff", site.settings) as tx:
        invite.invite_again(tx, site.recruiter, first)
    support.days_pass(server, 8)
    assert support.carry_out(site) == 1
    [second] = site.invite("ming")
    assert support.person_of(site, second) != support.person_of(site, first)


def test_who_is_invited_while_somebody_marks_them_waits_for_the_mark(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an interview that no mark names would outlive its person."""
    made = support.recorded(site, "ming")
    position = site.position()
    waits, refused, real = threading.Event(), [], removal.erasing.lock

    def lock(tx: Any, owner_id: uuid.UUID, *, shared: bool = False) -> None:
        waits.set()
        real(tx, owner_id, shared=shared)

    def invite_too() -> None:
        with pytest.raises(InvalidInputError, match="marked for erasure"):
            site.invite("ming", position_id=position)
        refused.append(True)

    with transaction("staff", site.settings) as tx:
        erase.mark(tx, site.settings, site.recruiter, made, whole=True, basis="request")
        monkeypatch.setattr(removal.erasing, "lock", lock)
        other = threading.Thread(target=invite_too)
        other.start()
        assert waits.wait(20)
    other.join()
    assert refused == [True]


class TestCutShort:
    """At each step; then one more turn ends it."""

    STEPS = ("_close_at_intake", "_remove_files", "_remove_rows", "_remove_person", "_note_done")

    @pytest.mark.parametrize("step", STEPS)
    def test_a_further_turn_ends_it(
        self, site: Site, server: Server, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        made = support.recorded(site)
        mark = support.mark(site, made)
        support.days_pass(server, 8)
        with monkeypatch.context() as patched:
            patched.setattr(removal.Removal, step, killed)
            with pytest.raises(RuntimeError, match="killed"):
                support.carry_out(site)
        assert support.marks_of(site) == {mark: "erasing"}
        assert support.keys(site, "recording") == []
        with pytest.raises(ConflictError), transaction("staff", site.settings) as tx:
            erase.withdraw(tx, site.recruiter, mark)
        assert support.carry_out(site) == 1
        assert support.marks_of(site) == {mark: "erased"}
        assert not list(Vault(site.settings.vault_folder).recordings())
        assert site.actions("erasure", mark)[-1] == "erase:done"

    def test_between_the_order_and_the_keyholder(
        self, site: Site, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = support.recorded(site, resume_too=False)
        mark = support.mark(site, made)
        support.days_pass(server, 8)
        with monkeypatch.context() as patched:
            patched.setattr(ErasingKeyholder, "erase", killed)
            with pytest.raises(RuntimeError, match="killed"):
                support.carry_out(site)
        assert (support.marks_of(site), support.keys(site, "recording")) == ({mark: "erasing"}, [str(made)])
        assert support.carry_out(site) == 1
        assert support.keys(site, "recording") == []

    def test_while_the_vault_is_locked_it_waits(self, site: Site, server: Server) -> None:
        made = support.recorded(site, resume_too=False)
        support.mark(site, made)
        support.days_pass(server, 8)
        site.keyholder.lock()
        with pytest.raises(VaultLockedError):
            support.carry_out(site)
        assert support.keys(site, "recording") == [str(made)]


def killed(*_: Any, **__: Any) -> None:
    raise RuntimeError("killed")


def test_what_a_restore_brought_back_goes_again(site: Site, server: Server) -> None:
    made = support.recorded(site)
    person = support.person_of(site, made)
    files = {path: path.read_bytes() for path in site.settings.vault_folder.rglob("*.fps")}
    mark = support.mark(site, made)
    support.days_pass(server, 8)
    assert support.carry_out(site) == 1
    transport = transport_of(site.settings)
    assert run.remove_again(site.settings, transport) == 0
    for path, data in files.items():
        path.write_bytes(data)
    with transaction("owner", site.settings) as tx:
        tx.execute(text("UPDATE candidate SET name = 'ming', email = 'm@x', erased_at = NULL"))
        tx.execute(text("UPDATE recording SET state = 'sealed'"))
        tx.execute(text("UPDATE erasure SET state = 'marked', certificate = NULL"))
    assert run.remove_again(site.settings, transport) == 1
    assert not list(site.settings.vault_folder.rglob("*.fps"))
    assert (site.row(recording, made).state, site.rows(candidate, id=person)[0].name) == ("erased", "—")
    assert support.marks_of(site) == {mark: "erased"}
    assert run.remove_again(site.settings, transport) == 0


def test_what_intake_refuses_of_one_keeps_no_other_mark_from_its_end(
    site: Site, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, marks = support.two_due(site, server)
    transport = transport_of(site.settings)
    put = transport.put_tombstone

    def refused(tombstone: bytes) -> None:
        if str(first).encode() in tombstone:
            raise PacketError("signature")
        put(tombstone)

    monkeypatch.setattr(transport, "put_tombstone", refused)
    with pytest.raises(PacketError):
        run.carry_out(site.settings, transport)
    assert [support.marks_of(site)[mark] for mark in marks] == ["erasing", "erased"]
    monkeypatch.undo()
    assert run.carry_out(site.settings, transport) == 1
    assert set(support.marks_of(site).values()) == {"erased"}


def test_what_cannot_be_removed_again_keeps_nothing_else_here(
    site: Site, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [support.recorded(site, name, resume_too=False) for name in ("ming", "hong")]
    files = {path: path.read_bytes() for path in site.settings.vault_folder.rglob("*.fps")}
    for each in people:
        support.mark(site, each)
    support.days_pass(server, 8)
    assert support.carry_out(site) == 2
    for path, data in files.items():
        path.write_bytes(data)
    first, remove = next(ErasingKeyholder(site.settings).erased()).recordings[0], Vault.remove

    def fails(vault: Vault, owner: uuid.UUID) -> int:
        if owner == first:
            raise OSError("not this one")
        return remove(vault, owner)

    transport = transport_of(site.settings)
    with monkeypatch.context() as patched:
        patched.setattr(Vault, "remove", fails)
        with pytest.raises(OSError, match="not this one"):
            run.remove_again(site.settings, transport)
    assert list(Vault(site.settings.vault_folder).recordings()) == [first]
    assert run.remove_again(site.settings, transport) == 1
