"""The candidate's room when the deadline passes, and when a fresh link gives more time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from appliance import intake_progress, intake_session
from appliance.packet import Packet, link
from tests.support import room
from tests.support.intake_site import IntakeSite
from tests.support.recorded import arrived, opened
from tests.support.room import Server, advance, answer_and_finish, at, begin_recording

pytestmark = room.NEEDS_BROWSER
PAST = timedelta(days=4)  # a packet's deadline comes after three
PAST_IN_THE_PAGE = (
    f"() => {{ const now = Date.now; Date.now = () => now() + {PAST.total_seconds() * 1000}; }}"
)


class Later(datetime):
    @classmethod
    def now(cls, tz: object = None) -> datetime:
        return datetime.now(UTC) + PAST


def test_a_fresh_link_after_a_deadline_that_passed_offline_goes_on_at_the_open_question(
    page: Page,
    site: IntakeSite,
    server: Server,
    invited: tuple[Packet, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packet, address = invited
    begin_recording(page, address)
    while page.inner_text("#question-number") != "Question 2 of 2":
        advance(page)
    room.until(page, lambda: arrived(site, packet) >= 1)
    server.stop()
    page.evaluate(PAST_IN_THE_PAGE)
    at(page, "finishing")
    for _ in range(2):
        expect(page.locator("#finishing-title")).to_have_text("Recording has stopped", use_inner_text=True)
        expect(page.locator("#deadline-words")).to_be_visible()
        page.reload()
        at(page, "finishing")
    page.goto("about:blank")
    _, secret = site.reinvite(replace(packet, deadline=packet.deadline + PAST))
    for module in (intake_session, intake_progress):
        monkeypatch.setattr(module, "datetime", Later)
    server.start()
    page.goto(link(server.url, packet.recording, secret))
    page.click("#begin:not([disabled])")
    at(page, "room")
    expect(page.locator("#question-number")).to_have_text("Question 2 of 2")
    expect(page.locator("#phase")).to_have_text("Time to think")
    expect(page.locator("#elapsed")).to_contain_text("Recording 0:0")
    answer_and_finish(page)
    expect(page.locator("#done-title")).to_contain_text("Everything has arrived", use_inner_text=True)
    assert site.folder.state(packet.recording).closed == len(packet.questions)
    assert len(opened(site, packet)["camera"]) == 2
