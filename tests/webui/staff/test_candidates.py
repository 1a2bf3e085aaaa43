"""The candidates' table and one attempt in each of its states."""

from __future__ import annotations

import re

import pytest

from appliance.domain import Role
from tests.support.desk import Desk, post


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
    browser = desk.client(Role.RECRUITER)
    page = browser.get(f"/attempts/{made}")
    assert page.status_code == 200
    assert words in page.text
    fragment = browser.get(f"/attempts/{made}/status", headers={"HX-Request": "true"})
    assert ("every 3s" in fragment.text) == (state in ("recording", "sealing", "running"))


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
