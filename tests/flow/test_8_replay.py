"""Replay: the picture plays and seeks, the words follow and lead, and each second watched is on record."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from appliance.audit.log import Action
from tests.flow import processes
from tests.flow.desk import Desk, browser, sign_in
from tests.flow.fixtures import Told
from tests.flow.rows import audit
from tests.support import product, room, story
from tests.support.product import Product
from tests.support.waiting import until

NOW = "document.querySelector('video').currentTime"


@pytest.fixture(scope="module")
def desk(live: Product, anna: Told, ming: Told, folder: Path) -> Iterator[Page]:
    """The recruiter's window. All is told before it opens: two drivers at once are one too many."""
    with browser(folder / "staff") as context:
        yield sign_in(context, live.sign_in_link())


@pytest.fixture
def page(live: Product, desk: Page, anna: Told) -> Page:
    """A replay of Anna's interview, just opened."""
    story.open_replay(desk, live.settings, anna.recording)
    desk.evaluate("document.querySelector('video').muted = true")
    return desk


def now(page: Page) -> float:
    return float(page.evaluate(NOW))


def settled(page: Page) -> None:
    room.until(page, lambda: not page.evaluate("document.querySelector('video').seeking"))


def test_the_picture_has_its_length(page: Page, anna: Told) -> None:
    length = page.evaluate("document.querySelector('video').duration")
    assert abs(length - anna.report.duration_ms / 1000) <= 0.2


def test_the_picture_plays_and_seeks(page: Page, anna: Told, record_property: pytest.RecordProperty) -> None:
    [seconds] = anna.seconds
    story.plays(page)
    page.keyboard.press("k")
    waits = [story.seek(page, seconds * share) for share in (0.9, 0.1, 0.5)]
    record_property("figure", f"seeks {[round(wait) for wait in waits]} ms")
    assert abs(now(page) - seconds / 2) < 0.1
    before = now(page)
    page.keyboard.press("k")
    room.until(page, lambda: now(page) > before + 0.5)
    page.keyboard.press("k")


def test_the_transcript_follows_and_a_click_goes_there(page: Page, anna: Told) -> None:
    if anna.report.analysis != "done":
        pytest.skip(f"not analysed: {anna.report.reason}")
    segments = story.document(page, "transcript")["segments"]
    page.wait_for_selector("#panel-transcript[data-state=ready]")
    rows = page.locator(".transcript li[data-index]")
    assert rows.count() == len(segments)
    last = len(segments) - 1
    rows.nth(last).click()
    settled(page)
    assert abs(now(page) - segments[last]["start_ms"] / 1000) <= 1.0
    expect(rows.nth(last)).to_have_attribute("aria-current", "true")
    story.seek(page, segments[0]["start_ms"] / 1000 + 0.1)
    expect(rows.nth(0)).to_have_attribute("aria-current", "true")
    page.keyboard.press("k")
    expect(page.locator("button[name=toggle]")).to_have_text("Pause")
    page.keyboard.press("k")


def test_questions_marks_and_keys_lead_through_it(page: Page, anna: Told) -> None:
    page.wait_for_selector('[data-lane="questions"] button')
    timeline = story.document(page, "timeline")
    shown = {each["question"]: each["shown_ms"] / 1000 for each in timeline["answers"]}
    for key in ("2", "3"):
        page.keyboard.press(key)
        settled(page)
        assert abs(now(page) - shown[int(key)]) <= 1.0
    mark = next(event["at_ms"] for event in timeline["events"] if event["kind"] == "mark") / 1000
    page.locator('[data-lane="marks"] button').first.click()
    settled(page)
    assert abs(now(page) - mark) <= 1.0
    at = now(page)
    page.keyboard.press("ArrowRight")
    settled(page)
    assert abs(now(page) - at - 5) <= 0.2
    expect(page.locator(".wave")).to_be_visible()


def test_the_seconds_watched_are_on_the_log_and_the_chain_holds(
    live: Product, page: Page, anna: Told, auditor: Desk
) -> None:
    view = page.url.rsplit("/", 1)[1]
    story.seek(page, 2)
    page.keyboard.press("k")
    room.until(page, lambda: now(page) > 5)
    page.keyboard.press("k")
    stopped = now(page)
    with page.expect_navigation():
        page.click(f"form[action$='{view}/close'] button")
    events = audit(live, "recording", anna.recording)
    [opened] = [event for event in events if event["id"] == view]
    assert opened["action"] == Action.REPLAY_OPEN
    closed = next(e for e in events if e["action"] == Action.REPLAY_CLOSE and e["details"]["view"] == view)
    [[start, end]] = closed["details"]["watched"]
    assert start == pytest.approx(2000, abs=300)
    assert end == pytest.approx(stopped * 1000, abs=300)
    seen = auditor.get(f"/audit/recordings/{anna.recording}").text
    assert "Recruiter" in seen
    assert f"0:{start // 1000:02}–0:{-(-end // 1000):02}" in seen  # a part of a second counts as one
    answer = auditor.post("/audit/verify")
    assert answer.status == 303
    assert "The chain holds." in auditor.get("/audit").text


def test_bytes_are_never_to_be_kept_and_others_see_nothing(
    recruiter: Desk, auditor: Desk, anna: Told
) -> None:
    view = recruiter.open_view(anna.recording)
    for path in ("/tracks/camera", "/documents/timeline.json", ""):
        answer = recruiter.get(view + path)
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
        assert auditor.get(view + path).status in (403, 404)
    part = recruiter.get(f"{view}/tracks/camera", Range="bytes=0-99")
    assert (part.status, len(part.body)) == (206, 100)
    beyond = recruiter.get(f"{view}/tracks/camera", Range="bytes=999999999999-")
    assert beyond.status == 416
    whole = recruiter.get(f"{view}/tracks/camera", Range="bytes=nonsense")
    assert whole.status == 200


def test_without_the_keyholder_a_page_says_what_to_do(
    live: Product, recruiter: Desk, anna: Told, ming: Told
) -> None:
    assert ming.report.state == "sealed"  # nothing is under way that needs it
    view = recruiter.open_view(anna.recording)
    with processes.without(live, "keyholder"):
        page = recruiter.get(f"/attempts/{anna.recording}")
        assert "The keyholder is not running." in page.text
        refused = recruiter.post(f"/recordings/{anna.recording}/views")
        assert refused.status == 503
        assert "tell your administrator" in refused.text
        assert recruiter.get(view).status == 200
    assert recruiter.post(f"/recordings/{anna.recording}/views").status == 303


def test_without_the_database_a_page_says_what_to_do(
    live: Product, recruiter: Desk, anna: Told, ming: Told
) -> None:
    assert ming.report.state == "sealed"
    view = recruiter.open_view(anna.recording)
    with processes.without_database(live, product.DEBIAN_POSTGRES):
        for path in (view, f"/attempts/{anna.recording}", "/"):
            answer = recruiter.get(path)
            assert answer.status == 503
            assert answer.headers["Retry-After"]
            assert "The database is not answering." in answer.text
            assert "Recordings are still being saved" in answer.text
        media = recruiter.get(f"{view}/tracks/camera", Accept="application/json")
        assert json.loads(media.body)["code"] == "database_down"
    until(lambda: recruiter.get(view).status == 200)
    assert re.search("<video", recruiter.get(view).text)
