"""The candidate's room open in two tabs of one browser."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from appliance.intake_state import RecordKind
from appliance.packet import Packet, link
from tests.support import room
from tests.support.intake_site import QUESTIONS, IntakeSite
from tests.support.recorded import all_saved, arrived, opened
from tests.support.room import (
    Server,
    advance,
    answer_and_finish,
    at,
    go_to_rules,
    pass_check,
    start_recording,
    until,
)

pytestmark = room.NEEDS_BROWSER


def test_two_tabs_of_one_browser_bind_it_once_and_one_of_them_records(
    page: Page, site: IntakeSite, invited: tuple[Packet, str]
) -> None:
    packet, address = invited
    one, two = page, page.context.new_page()
    for tab in (one, two):
        tab.goto(address)
        tab.wait_for_selector("#begin:not([disabled])")
    one.evaluate("document.getElementById('begin').click()")
    two.evaluate("document.getElementById('begin').click()")
    for tab in (one, two):
        tab.bring_to_front()
        pass_check(tab)
    one.bring_to_front()
    start_recording(one, analysis=False)
    two.bring_to_front()
    two.check("#tick-record")
    two.click("#agree")
    at(two, "problem")
    assert "another tab" in two.inner_text("#problem-title")
    one.bring_to_front()
    answer_and_finish(one)
    two.bring_to_front()
    two.click("#problem-retry")
    at(two, "status")
    kinds = [record.kind for record in site.folder.records(packet.recording)]
    assert kinds.count(RecordKind.BOUND) == 1
    assert kinds.count(RecordKind.CONSENT) == 1
    assert len(opened(site, packet)["camera"]) == 1


def test_the_tab_that_records_sends_its_pieces_itself_and_finishes_beside_an_older_tab(
    page: Page, site: IntakeSite, invited: tuple[Packet, str]
) -> None:
    """The older tab was the first that could send, and it stands still somewhere before the recording."""
    packet, address = invited
    older, newer = page, page.context.new_page()
    older.goto(address)
    older.click("#begin:not([disabled])")
    at(older, "check")
    newer.goto(address.split("#")[0])
    newer.bring_to_front()
    pass_check(newer)
    start_recording(newer)
    until(newer, lambda: arrived(site, packet) >= 1)
    all_saved(newer)
    answer_and_finish(newer)
    assert site.folder.state(packet.recording).finished
    assert len(opened(site, packet)["camera"]) == 1


@pytest.mark.long
def test_agreeing_in_a_tab_while_another_one_finishes_leads_to_the_receipt(
    page: Page, site: IntakeSite, server: Server
) -> None:
    packet, secret = site.invite(questions=QUESTIONS[:1])
    address = link(server.url, packet.recording, secret)
    one, two = page, page.context.new_page()
    one.bring_to_front()
    go_to_rules(one, address)
    two.bring_to_front()
    two.goto(address.split("#")[0])
    pass_check(two)
    two.check("#tick-record")
    one.bring_to_front()
    start_recording(one)
    until(one, lambda: arrived(site, packet) >= 1)
    server.stop()
    while one.evaluate(room.RECORDING):
        advance(one)
    at(one, "finishing")
    two.bring_to_front()
    two.click("#agree")
    at(two, "finishing")
    server.start()
    for tab in (one, two):
        at(tab, "done", 40000)
    kinds = [record.kind for record in site.folder.records(packet.recording)]
    assert kinds.count(RecordKind.CONSENT) == 1
    assert len(opened(site, packet)["camera"]) == 1
