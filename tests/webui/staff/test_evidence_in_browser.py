"""What the replay's statements and lanes show of many or very short stretches, in Chromium."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from appliance.domain import Role
from tests.support.desk import CONTENTS, SENTENCES, Desk, post
from tests.support.desk_browser import at_the_desk, ready
from tests.support.room import CHROMIUM

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed"),
]


def test_a_statement_says_how_many_of_its_stretches_it_names(desk: Desk) -> None:
    longest = [[a, b, text] for a, b, text, *_ in SENTENCES[:3]]
    statements = [
        {"text": "speech_share", "params": {"seconds": 11.0, "percent": 91.0}, "evidence": longest},
        {"text": "pauses", "params": {"count": 1, "seconds": 0.2}, "evidence": [[6900, 7100, ""]]},
    ]
    recording = desk.sealed(analysed=False)
    desk.analysed(recording, {**CONTENTS, "report": {"version": 1, "statements": statements}})
    view = post(desk.client(Role.RECRUITER), f"/recordings/{recording}/views").location
    with at_the_desk(desk) as browser:
        page = browser.replay(view)
        page.locator("#tab-evidence").click()
        said = page.locator(".statements li")
        expect(said).to_have_count(2)
        expect(said.nth(0).locator("small")).to_have_text("The 3 longest of 5")
        expect(said.nth(1).locator("small")).to_have_count(0)
        assert browser.problems == []


def test_the_number_of_a_question_answered_at_once_is_not_cut(desk: Desk) -> None:
    recording = desk.sealed()
    view = post(desk.client(Role.RECRUITER), f"/recordings/{recording}/views").location
    answers = [
        {"question": 1, "shown_ms": 0, "start_ms": 0, "end_ms": 11_900},
        {"question": 2, "shown_ms": 11_910, "start_ms": 11_920, "end_ms": 11_950},
    ]
    with at_the_desk(desk) as browser:
        told = json.dumps({"version": 1, "events": [], "answers": answers})
        page = browser.window(Role.RECRUITER)
        page.route("**/documents/timeline.json", lambda route: route.fulfill(body=told))
        page.goto(view)
        ready(page)
        last = page.locator(".lane[data-lane=questions] button").last
        expect(last).to_have_text("2")
        track = page.locator(".lane[data-lane=questions] .track").bounding_box()
        box = last.bounding_box()
        assert track is not None
        assert box is not None
        assert box["x"] + box["width"] <= track["x"] + track["width"] + 0.5
        assert last.evaluate("(element) => element.scrollWidth <= element.clientWidth")
