"""The candidate's room in headless Chromium with a fake camera: what is kept, what is secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, Playwright, expect

from appliance.domain import ScreenPolicy
from appliance.packet import Packet, Policy, link
from tests.support import room
from tests.support.intake_site import IntakeSite
from tests.support.recorded import SAVED, WAITING, all_saved, arrived, chunks, events, opened
from tests.support.room import (
    Server,
    answer_and_finish,
    at,
    begin_recording,
    chromium,
    go_to_rules,
    start_recording,
    until,
)

pytestmark = room.NEEDS_BROWSER
# The story tells it on the whole product every day; here it is intake's part alone.
told_by_the_story = pytest.mark.long
CANARY = "canary-4711-梅花"


def on_disk(folder: Path, needle: bytes) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and needle in path.read_bytes()]


def test_an_interview_from_the_link_to_the_receipt(
    playwright: Playwright, site: IntakeSite, server: Server, invited: tuple[Packet, str], tmp_path: Path
) -> None:
    packet, address = invited
    profile = tmp_path / "profile"
    errors: list[str] = []
    with chromium(playwright, profile, locale="en-GB") as context:
        page = context.pages[0]
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        go_to_rules(page, address)
        assert "#" not in page.url
        assert page.evaluate("history.length") >= 1
        start_recording(page, analysis=False)
        page.click("summary:has-text('note')")
        page.fill("#note", CANARY)
        expect(page.locator("#note-state")).to_contain_text("saved")
        page.keyboard.press("Tab")
        page.click("#question-text")
        page.keyboard.press("m")
        expect(page.locator("#mark-state")).not_to_be_empty()
        until(page, lambda: arrived(site, packet) >= 2)
        answer_and_finish(page)
        receipt = page.text_content("#receipt-number")
        page.click("#to-status")
        at(page, "status")
        assert page.locator("#may-withdraw:visible, #withdraw:visible").count() == 0
        cookies = context.cookies()
    assert errors == []
    assert cookies == []
    state = site.folder.state(packet.recording)
    assert state.receipt["number"] == receipt
    assert state.consent == {"record": True, "analysis": False}
    assert state.closed == len(packet.questions)
    beat = site.folder.heartbeat(packet.recording)
    assert beat is not None
    assert {"fps", "brightness", "level_db", "question", "waiting"} <= set(beat["numbers"])
    media = opened(site, packet)
    assert [epoch[:4] for epoch in media["camera"]] == [b"\x1a\x45\xdf\xa3"]
    seen = events(site, packet)
    kinds = [event["kind"] for event in seen]
    assert kinds[0] == "question_shown"
    for kind in ("answer_started", "answer_ended", "mark", "typed"):
        assert kind in kinds
    assert [event["text"] for event in seen if event["kind"] == "typed"] == [CANARY]
    for folder in (profile, site.settings.data):
        assert on_disk(folder, CANARY.encode()) == []
        assert on_disk(folder, CANARY.encode("utf-16-le")) == []
    secret = address.split("#")[1].encode()
    assert on_disk(site.settings.data, secret) == []


@told_by_the_story
def test_an_outage_and_a_reload_without_a_network_lose_nothing(
    page: Page, site: IntakeSite, server: Server, invited: tuple[Packet, str]
) -> None:
    packet, address = invited
    begin_recording(page, address)
    until(page, lambda: arrived(site, packet) >= 1)
    question = page.text_content("#question-text")
    server.stop()
    expect(page.locator(SAVED)).to_contain_text("Offline since", timeout=10000)
    before = page.evaluate(WAITING)
    until(page, lambda: page.evaluate(WAITING) > before)
    page.reload()
    at(page, "room")
    expect(page.locator("#question-text")).to_have_text(question or "")
    expect(page.locator("#resumed")).to_contain_text("without a network")
    waiting = page.evaluate(WAITING)
    until(page, lambda: page.evaluate(WAITING) > waiting)
    server.start()
    all_saved(page)
    answer_and_finish(page)
    media = opened(site, packet)
    assert len(media["camera"]) == 2
    assert all(epoch[:4] == b"\x1a\x45\xdf\xa3" for epoch in media["camera"])
    reload = next(event for event in events(site, packet) if event["kind"] == "reload")
    assert reload["offline"] is True


@told_by_the_story
def test_a_killed_browser_loses_only_the_unfinished_slice(
    playwright: Playwright, site: IntakeSite, server: Server, invited: tuple[Packet, str], tmp_path: Path
) -> None:
    packet, address = invited
    profile = tmp_path / "profile"
    with chromium(playwright, profile, locale="en-GB") as context:
        page = context.pages[0]
        begin_recording(page, address)
        all_saved(page)
        server.stop()
        until(page, lambda: page.evaluate(WAITING) >= 3)
        committed = page.evaluate(WAITING) + chunks(site, packet)
        room.kill_browser(profile)
    server.start()
    with chromium(playwright, profile, locale="en-GB") as context:
        page = context.pages[0]
        page.goto(address.split("#")[0])
        at(page, "room")
        expect(page.locator("#question-text")).not_to_be_empty()
        all_saved(page)
        answer_and_finish(page)
    assert chunks(site, packet) > committed
    camera = site.folder.journal(packet.recording, "camera", 1 << 40).state()
    ended = [state.end for state in camera.values()]
    assert sorted(ended, key=lambda end: end is None)[-1] is None
    assert len(opened(site, packet)["camera"]) == 2


def test_a_second_browser_is_told_that_a_fresh_link_is_on_its_way(
    playwright: Playwright, site: IntakeSite, server: Server, invited: tuple[Packet, str], tmp_path: Path
) -> None:
    packet, address = invited
    with chromium(playwright, tmp_path / "one", locale="en-GB") as context:
        context.pages[0].goto(address)
        at(context.pages[0], "welcome")
        context.pages[0].wait_for_selector("#begin:not([disabled])")
    assert site.folder.records(packet.recording) == []  # looking, with scripts, binds nothing
    with chromium(playwright, tmp_path / "one", locale="en-GB") as context:
        context.pages[0].goto(address)
        context.pages[0].click("#begin:not([disabled])")
        at(context.pages[0], "check")
    with chromium(playwright, tmp_path / "two", locale="en-GB") as context:
        page = context.pages[0]
        page.goto(address)
        page.click("#begin:not([disabled])")
        at(page, "problem")
        assert "fresh link" in (page.text_content("#problem-title") or "")
        newer, secret = site.reinvite(packet)
        page.goto("about:blank")
        page.goto(link(server.url, newer.recording, secret))
        page.click("#begin:not([disabled])")
        at(page, "check")


def test_a_second_tab_does_not_record_twice_and_bad_links_speak_clearly(
    page: Page, server: Server, invited: tuple[Packet, str]
) -> None:
    _, address = invited
    bare = address.split("#")[0]
    page.goto(bare)
    at(page, "problem")
    assert "link in your mail" in (page.text_content("#problem-title") or "")
    page.goto("about:blank")
    page.goto(f"{bare}#{'A' * 22}")
    page.click("#begin:not([disabled])")
    at(page, "problem")
    assert "not valid" in (page.text_content("#problem-title") or "")
    page.goto(f"{address}")
    at(page, "welcome")
    page.click("#language")
    page.wait_for_url("**lang=zh#*")
    page.wait_for_selector("html[lang=zh-Hans] #begin:not([disabled])")
    page.goto("about:blank")
    page.goto(address)  # the mailed link again: the choice is kept
    page.wait_for_selector("html[lang=zh-Hans] #begin:not([disabled])")
    page.click("#language")
    page.wait_for_selector("html[lang=en] #begin:not([disabled])")
    answer = page.goto(f"{server.url}/i/00000000-0000-4000-8000-000000000000#x")
    assert answer is not None
    assert answer.status == 404
    begin_recording(page, address)
    other = page.context.new_page()
    other.goto(bare)
    at(other, "problem")
    assert "another tab" in (other.text_content("#problem-title") or "")


@told_by_the_story
def test_the_screen_is_a_second_track(
    playwright: Playwright, site: IntakeSite, server: Server, tmp_path: Path
) -> None:
    packet, secret = site.invite(policy=Policy(screen=ScreenPolicy.OPTIONAL))
    sharing = "--auto-select-tab-capture-source-by-title=Whiteboard"
    with chromium(playwright, tmp_path / "profile", sharing, locale="en-GB") as context:
        page, board = context.pages[0], context.new_page()
        board.goto("data:text/html,<title>Whiteboard</title><h1>Shared</h1>")
        page.bring_to_front()
        begin_recording(page, link(server.url, packet.recording, secret))
        page.click("#share-screen")
        expect(page.locator("#screen-on")).to_be_visible()
        until(page, lambda: arrived(site, packet, "screen") >= 1)
        answer_and_finish(page)
    media = opened(site, packet)
    assert set(media) == {"camera", "screen", "events"}
    assert media["screen"][0][:4] == b"\x1a\x45\xdf\xa3"
    started = next(event for event in events(site, packet) if event["kind"] == "screen_started")
    assert started["surface"] == "browser"


@pytest.mark.parametrize(
    ("width", "scheme"), [(360, "dark"), pytest.param(1366, "light", marks=pytest.mark.long)]
)
def test_no_screen_scrolls_sideways(
    playwright: Playwright, invited: tuple[Packet, str], tmp_path: Path, width: int, scheme: str
) -> None:
    _, address = invited
    size = {"width": width, "height": 640}
    with chromium(playwright, tmp_path / "p", viewport=size, color_scheme=scheme, locale="en-GB") as context:
        page = context.pages[0]
        begin_recording(page, address)
        for name in ("welcome", "check", "trial", "rules", "room", "finishing", "done", "status"):
            page.evaluate(
                "name => { for (const s of document.querySelectorAll('[data-screen]'))"
                " s.hidden = s.dataset.screen !== name; }",
                name,
            )
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
