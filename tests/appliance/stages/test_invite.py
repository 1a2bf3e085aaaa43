from __future__ import annotations

import datetime as dt
import json
import uuid

import pytest
from sqlalchemy import text, update

from appliance import notify
from appliance.audit.log import Action
from appliance.database import transaction
from appliance.domain import AttemptState, Role
from appliance.errors import ConflictError, InvalidInputError, NotFoundError
from appliance.intake_folder import IntakeFolder
from appliance.packet import secret_digest
from appliance.stages import invite, position
from appliance.tables import attempt, candidate, outgoing_mail
from tests.support import factory
from tests.support.site import Site

SOON = dt.timedelta(days=3)


def test_a_hundred_people_get_attempts_packets_and_mails_of_their_own(site: Site) -> None:
    names = [f"candidate{n}" for n in range(100)]
    made = site.invite(*names)
    site.run_jobs()
    assert len(set(made)) == 100
    assert len({mail["To"] for mail in site.mails()}) == 100
    packets = [IntakeFolder(site.settings.intake_folder).packets(attempt_id)[1] for attempt_id in made]
    assert len({packet.secret_sha256 for packet in packets}) == 100
    assert {row.state for row in site.rows(outgoing_mail)} == {"sent"}
    assert site.actions("attempt", made[0]) == [Action.INVITE_CREATE, Action.INVITE_SEND]


def test_a_packet_says_what_the_page_shows_and_no_more(site: Site) -> None:
    [made] = site.invite("ming")
    site.run_jobs()
    packet = IntakeFolder(site.settings.intake_folder).packets(made)[1]
    assert packet.secret_sha256 == secret_digest(site.link_secret(made))
    assert [question.ordinal for question in packet.questions] == [1, 2]
    stated = json.dumps(packet.statement(), ensure_ascii=False)
    assert "ming@example.com" not in stated
    assert "delivery" not in stated
    assert packet.day_key.id == dt.datetime.now(dt.UTC).date().isoformat()


def test_the_links_secret_is_in_the_mail_and_nowhere_else(site: Site) -> None:
    [made] = site.invite("ming")
    site.run_jobs()
    secret = site.link_secret(made)
    for path in site.settings.data.rglob("*"):
        if path.is_file() and path.parent != site.settings.spool_folder:
            assert secret.encode() not in path.read_bytes(), path
    with transaction("owner", site.settings) as tx:
        tables = tx.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
        for table in tables:
            rows = tx.execute(text(f'SELECT row_to_json(t)::text FROM "{table}" t')).scalars()
            assert not any(secret in row for row in rows), table


def test_inviting_works_while_the_vault_is_locked(site: Site) -> None:
    site.keyholder.publics()
    site.keyholder.lock()
    [made] = site.invite("ming")
    site.run_jobs()
    assert 1 in IntakeFolder(site.settings.intake_folder).packets(made)


def test_a_fresh_link_is_a_new_generation_and_may_move_the_deadline(site: Site) -> None:
    [made] = site.invite("ming", days=1)
    site.run_jobs()
    first = site.link_secret(made)
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=10)
    with transaction("staff", site.settings) as tx:
        invite.invite_again(tx, site.recruiter, made, later)
    site.run_jobs()
    assert site.link_secret(made) != first
    packets = IntakeFolder(site.settings.intake_folder).packets(made)
    assert sorted(packets) == [1, 2]
    assert abs(packets[2].deadline - later) < dt.timedelta(seconds=1)
    assert site.row(attempt, made).generation == 2


def test_a_mail_that_the_relay_refuses_is_tried_again_with_a_new_link(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError

    with monkeypatch.context() as patched:
        patched.setattr(notify, "_write_to_spool", refuse)
        [made] = site.invite("ming")
        site.run_jobs()
    [mail] = site.rows(outgoing_mail)
    assert (mail.state, mail.reason) == ("queued", "OSError")
    with transaction("worker", site.settings) as tx:
        tx.execute(text("UPDATE procrastinate_jobs SET scheduled_at = NULL"))
    site.run_jobs()
    assert site.rows(outgoing_mail)[0].state == "sent"
    assert site.row(attempt, made).generation == 2


def test_the_same_address_gets_a_further_attempt_once_the_first_is_over(site: Site) -> None:
    where = site.position()
    [first] = site.invite("ming", position_id=where)
    with pytest.raises(InvalidInputError, match="already invited"):
        site.invite("ming", position_id=where)
    with transaction("worker", site.settings) as tx:
        tx.execute(update(attempt).where(attempt.c.id == first).values(state=AttemptState.FINISHED))
    [second] = site.invite("ming", position_id=where)
    assert site.row(attempt, second).number == 2
    assert len(site.rows(candidate)) == 1
    with pytest.raises(ConflictError), transaction("staff", site.settings) as tx:
        invite.invite_again(tx, site.recruiter, first)


@pytest.mark.parametrize(
    ("people", "word"),
    [
        ([], "between 1"),
        ([("", "a@b.cn")], r"Row 1: a@b\.cn has no name"),
        ([("Bob", " ")], "Row 1: Bob has no mail address"),
        ([("王" * 101, "a@b.cn")], "Row 1: the name 王+ … is too long"),
        ([("Bob", f"b@{'c' * 300}.cn")], "Row 1: b@c+ … is too long"),
        ([("王小明", "nonsense")], "nonsense"),
        ([("王小明", "a@b.cn\nBcc: x@y.cn")], "Row 1"),
        ([("a", "a@b.cn"), ("b", "A@b.cn")], "Row 2.*twice"),
    ],
)
def test_one_bad_row_invites_nobody_and_is_named(
    site: Site, people: list[tuple[str, str]], word: str
) -> None:
    where = site.position()
    rows = [invite.Invitee(*person) for person in people]
    with pytest.raises(InvalidInputError, match=word), transaction("staff", site.settings) as tx:
        invite.invite(tx, site.recruiter, where, rows, dt.datetime.now(dt.UTC) + SOON)
    assert site.rows(attempt) == []


def test_a_deadline_lies_in_the_future_and_a_position_is_open(site: Site) -> None:
    where = site.position()
    person = [invite.Invitee("ming", "ming@example.com")]
    with pytest.raises(InvalidInputError, match="deadline"), transaction("staff", site.settings) as tx:
        invite.invite(tx, site.recruiter, where, person, dt.datetime.now(dt.UTC))
    with transaction("staff", site.settings) as tx:
        position.close(tx, site.recruiter, where)
    with pytest.raises(ConflictError), transaction("staff", site.settings) as tx:
        invite.invite(tx, site.recruiter, where, person, dt.datetime.now(dt.UTC) + SOON)


def test_who_may_not_invite_finds_nothing(site: Site) -> None:
    [made] = site.invite("ming")
    head = factory.make_user(site.settings, Role.DEPARTMENT_HEAD, site.department)
    auditor = factory.make_user(site.settings, Role.AUDITOR)
    for user in (head, auditor):
        with pytest.raises(NotFoundError), transaction("staff", site.settings) as tx:
            invite.invite_again(tx, user, made)
    with pytest.raises(NotFoundError), transaction("staff", site.settings) as tx:
        invite.invite_again(tx, site.recruiter, uuid.uuid4())
