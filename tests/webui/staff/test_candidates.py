"""The candidates' table and one attempt in each of its states."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from sqlalchemy import insert, text, update

from appliance.database import transaction
from appliance.domain import Role
from appliance.tables import analysis, attempt, intake_record, recording
from tests.support.desk import Desk, post
from tests.support.media import recorded


def names(text: str) -> list[str]:
    return re.findall(r'class="name">([^<]+)</span></span>', text)


def test_the_table_filters_sorts_and_pages(desk: Desk) -> None:
    desk.people_in_every_state()
    browser = desk.client(Role.RECRUITER)
    everyone = names(browser.get("/candidates").text)
    assert len(everyone) == 10
    assert names(browser.get("/candidates?q=lovelace").text) == ["Ada Lovelace"]
    assert names(browser.get("/candidates?q=100%25").text) == []
    assert names(browser.get("/candidates?state=recording").text) == ["赵云"]
    by_name = names(browser.get("/candidates?sort=name&down=0").text)
    assert by_name == sorted(everyone)
    assert names(browser.get("/candidates?sort=;drop&page=99999999&position=x").text) == everyone


def test_a_fresh_link_does_not_change_when_the_person_was_first_invited(desk: Desk) -> None:
    [made] = desk.site.invite("ming")
    desk.site.run_jobs()
    browser = desk.client(Role.RECRUITER)
    with transaction("worker", desk.settings) as tx:
        earlier = dt.datetime.now(dt.UTC) - dt.timedelta(days=2)
        tx.execute(update(attempt).where(attempt.c.id == made).values(invited_at=earlier))

    def invited() -> str:
        found = re.search(r"<dt>Invited</dt><dd>(.*?)</dd>", browser.get(f"/attempts/{made}").text)
        return found[1] if found else ""

    before = invited()
    assert earlier.astimezone().strftime("%Y-%m-%d") in before
    assert post(browser, f"/attempts/{made}/invitations").status_code == 303
    desk.site.run_jobs()
    assert browser.get(f"/attempts/{made}").text.count("Invitation written, not mailed") == 2
    assert invited() == before


def test_an_interviewer_sees_only_what_was_assigned(desk: Desk) -> None:
    desk.people_in_every_state()
    assert "No candidate yet" in desk.client(Role.INTERVIEWER).get("/candidates").text


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("invited", "Send a fresh link"),
        ("recording", "Recording"),
        ("sealing", "Sealing: the pieces"),
        ("running", "Analysing 40 %"),
        ("no_pack", "No model pack installed"),
        ("declined", "Analysis declined by the candidate"),
        ("analysis_failed", "The analysis failed; the recording can be replayed"),
        ("failed", "This recording could not be sealed"),
        ("expired", "Expired"),
    ],
)
def test_each_state_says_what_is_true_now(desk: Desk, state: str, words: str) -> None:
    made = desk.people_in_every_state()[state]
    pack = desk.settings.models_folder / "active"
    pack.mkdir()
    (pack / "manifest.json").write_text('{"version": "2.0"}')
    browser = desk.client(Role.RECRUITER)
    page = browser.get(f"/attempts/{made}")
    assert page.status_code == 200
    assert words in page.text
    fragment = browser.get(f"/attempts/{made}/status", headers={"HX-Request": "true"})
    assert ("every 3s" in fragment.text) == (state in ("recording", "sealing", "running"))


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        ("vault_locked", "Waiting: the vault is locked"),
        ("keyholder_down", "Waiting: the keyholder is not running"),
        ("full", "Waiting for room: the disk is full"),
        ("crash", "The last try did not succeed: its process ended by itself"),
    ],
)
def test_what_holds_up_a_seal_or_an_analysis_is_said(desk: Desk, problem: str, words: str) -> None:
    made = desk.people_in_every_state()
    with transaction("worker", desk.settings) as tx:
        tx.execute(update(recording).where(recording.c.id == made["sealing"]).values(problem=problem))
        tx.execute(
            update(analysis)
            .where(analysis.c.recording_id == made["running"])
            .values(state="queued", reason=problem)
        )
    for state in ("sealing", "running"):
        page = desk.client(Role.RECRUITER).get(f"/attempts/{made[state]}/status").text
        assert words in page
        assert "every 3s" in page


def test_a_recruiter_orders_a_failed_seal_again_and_others_are_not_offered_it(desk: Desk) -> None:
    made = desk.people_in_every_state()["failed"]
    button = f'action="/attempts/{made}/seal"'
    assert button not in desk.client(Role.DEPARTMENT_HEAD).get(f"/attempts/{made}").text
    browser = desk.client(Role.RECRUITER)
    assert button in browser.get(f"/attempts/{made}").text
    for _ in range(2):
        assert post(browser, f"/attempts/{made}/seal").status_code == 303
        assert len(desk.site.waiting_jobs("seal")) == 1
    page = browser.get(f"/attempts/{made}?done=seal-ordered").text
    assert "Sealing: the pieces" in page
    assert "Sealing is ordered again" in page
    assert button not in page


def test_an_analysis_is_offered_again_only_with_a_pack_and_consent(desk: Desk) -> None:
    made = desk.site.sealed_but_not_analysed(list(recorded()))
    browser = desk.client(Role.RECRUITER)
    button = f'action="/attempts/{made}/analysis"'
    with transaction("worker", desk.settings) as tx:
        failed = (
            update(analysis).where(analysis.c.recording_id == made).values(state="failed", reason="crash")
        )
        tx.execute(failed)
        tx.execute(text("DELETE FROM procrastinate_jobs"))
    assert button not in browser.get(f"/attempts/{made}").text  # no pack
    pack = desk.settings.models_folder / "active"
    pack.mkdir()
    (pack / "manifest.json").write_text('{"version": "2.0"}')
    assert button in browser.get(f"/attempts/{made}").text
    assert button not in desk.client(Role.DEPARTMENT_HEAD).get(f"/attempts/{made}").text
    for _ in range(2):
        assert post(browser, f"/attempts/{made}/analysis").status_code == 303
        assert len(desk.site.waiting_jobs("analyse")) == 1
    assert "Waiting for analysis" in browser.get(f"/attempts/{made}").text
    desk.site.last_browser.withdraw()
    desk.site.pull()
    with transaction("worker", desk.settings) as tx:
        tx.execute(failed)
    assert button not in browser.get(f"/attempts/{made}").text
    assert post(browser, f"/attempts/{made}/analysis").status_code == 409


def test_an_interviewer_is_assigned_sees_the_interview_and_is_taken_off_again(desk: Desk) -> None:
    [made] = desk.site.invite("ming")
    interviewer = desk.people[Role.INTERVIEWER]
    theirs = desk.client(Role.INTERVIEWER)
    for role in (Role.RECRUITER, Role.DEPARTMENT_HEAD):
        browser = desk.client(role)
        assert "No interviewer sees this interview" in browser.get(f"/attempts/{made}").text
        chosen = {"account_id": str(interviewer.account_id)}
        assert post(browser, f"/attempts/{made}/interviewers", data=chosen).status_code == 303
        page = browser.get(f"/attempts/{made}").text
        assert f'action="/attempts/{made}/interviewers/{interviewer.account_id}/remove"' in page
        assert 'name="account_id"' not in page  # nobody else is left to choose
        seen = theirs.get(f"/attempts/{made}")
        assert seen.status_code == 200
        assert "/interviewers" not in seen.text
        away = post(browser, f"/attempts/{made}/interviewers/{interviewer.account_id}/remove")
        assert away.status_code == 303
        assert theirs.get(f"/attempts/{made}").status_code == 404
    assert desk.site.actions("attempt", made).count("assignment:change") == 4


def test_who_is_no_interviewer_is_not_assigned(desk: Desk) -> None:
    [made] = desk.site.invite("ming")
    browser = desk.client(Role.RECRUITER)
    for nobody in ("", "x", str(desk.people[Role.AUDITOR].account_id)):
        answer = post(browser, f"/attempts/{made}/interviewers", data={"account_id": nobody})
        assert answer.status_code == 422
        assert "Choose an interviewer whose account is enabled" in answer.text


def test_a_fresh_link_is_sent_on_request(desk: Desk) -> None:
    [made] = desk.site.invite("ming")
    desk.site.run_jobs()
    browser = desk.client(Role.RECRUITER)
    assert post(browser, f"/attempts/{made}/invitations", data={"deadline": ""}).status_code == 303
    desk.site.run_jobs()
    assert len(desk.site.mails()) == 2
    past = post(browser, f"/attempts/{made}/invitations", data={"deadline": "2020-01-01"})
    assert (past.status_code, "Choose a deadline in the future" in past.text) == (422, True)


def test_the_start_page_lists_what_runs_what_is_new_and_what_needs_a_person(desk: Desk) -> None:
    desk.people_in_every_state()
    text = desk.client(Role.RECRUITER).get("/").text
    new, attention, running = (
        text.index(words) for words in ("New to replay", "Needs a person", "Running now")
    )
    assert new < text.index("周杰") < attention < text.index("郑爽") < running < text.index("赵云")


STRANGE: tuple[Any, ...] = (
    None,
    [],
    "text",
    7,
    {"camera": ["x"]},
    {"camera": {"a": 1}},
    {"event": ["x"]},
    {"event": "question_opened", "question": {"x": "y"}},
    {"reason": ["a"]},
    {"reason": {"a": 1}, "to": [1], "who": 7},
    {"refused": True},
)


@pytest.mark.parametrize("kind", ["bound", "checked", "state", "consent", "finish", "unheard-of"])
def test_whatever_intake_once_left_can_be_shown(desk: Desk, kind: str) -> None:
    [made] = desk.site.invite("ming")
    rows = [
        {"attempt_id": made, "seq": seq, "kind": kind, "at": dt.datetime.now(dt.UTC), "body": body}
        for seq, body in enumerate(STRANGE, 1)
    ]
    browser = desk.client(Role.RECRUITER)
    for row in rows:
        with transaction("worker", desk.site.settings) as tx:
            tx.execute(insert(intake_record).values(**row))
        assert browser.get(f"/attempts/{made}").status_code == 200, row
    assert "refused" in browser.get(f"/attempts/{made}").text
