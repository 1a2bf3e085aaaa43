"""Replay as a person uses it, in Chromium: tracks in step, words that follow, keys, the seconds watched."""

from __future__ import annotations

import threading
import uuid

import pytest
from flask import Flask, Response, request, request_finished
from playwright.sync_api import Page, expect
from sqlalchemy import select, update

from appliance.database import transaction
from appliance.domain import Role
from appliance.tables import analysis, replay_view
from tests.support.desk import CONTENTS, Desk, post
from tests.support.desk_browser import at_the_desk, ready
from tests.support.keyholder import unlock
from tests.support.room import CHROMIUM

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed"),
]

# Each track's place on the recording's clock, in ms. Functions, since the policy forbids evaluating text.
PLACES = """() => [...document.querySelectorAll('video')].map(
  (video) => video.currentTime * 1000 + Number(video.dataset.start))"""
PASSED = """(ms) => {
  const video = document.querySelector('video');
  return video.currentTime * 1000 + Number(video.dataset.start) > ms;
}"""
STILL_AND_EXACT = f"() => {{ const [a, b] = ({PLACES})(); return Math.abs(a - b) < 60; }}"
PLACES_OF_ANALYSIS = (".wavebox", "#panel-transcript", "#panel-evidence")
SETTLED = "() => [...document.querySelectorAll('video')].every((video) => !video.seeking)"


def now(page: Page) -> float:
    """Where the leading track is."""
    return float(page.evaluate(PLACES)[0])


def drift(page: Page) -> float:
    first, second = page.evaluate(PLACES)
    return abs(first - second)


def passed(page: Page, ms: float) -> None:
    page.wait_for_function(PASSED, arg=ms)


def settled(page: Page) -> None:
    page.wait_for_function(SETTLED)


def watched(desk: Desk) -> list[list[int]]:
    with transaction("staff", desk.settings) as tx:
        return tx.scalar(select(replay_view.c.watched)) or []


def open_view(desk: Desk) -> str:
    recording = desk.sealed()
    return post(desk.client(Role.RECRUITER), f"/recordings/{recording}/views").location


def skipped(desk: Desk, recording: uuid.UUID, reason: str) -> None:
    """The analysis as the worker leaves it when it cannot do it."""
    with transaction("worker", desk.settings) as tx:
        tx.execute(
            update(analysis)
            .where(analysis.c.recording_id == recording)
            .values(state="skipped", reason=reason)
        )


def test_tracks_stay_within_200_ms_while_playing_and_after_a_seek(desk: Desk) -> None:
    view = open_view(desk)
    with at_the_desk(desk) as browser:
        page = browser.replay(view)
        page.keyboard.press("k")
        passed(page, 4500)
        drifts = [drift(page)]
        page.evaluate("() => { document.querySelector('video').currentTime = 6; }")
        settled(page)
        passed(page, 7500)
        drifts.append(drift(page))
        page.keyboard.press("k")
        page.wait_for_function(STILL_AND_EXACT)
        assert max(drifts) <= 200
        assert browser.problems == []


def test_a_click_on_a_sentence_a_mark_or_a_question_goes_there(desk: Desk) -> None:
    view = open_view(desk)
    with at_the_desk(desk) as browser:
        page = browser.replay(view)
        page.click("text=结果比原来快了四倍。")
        settled(page)
        assert now(page) == pytest.approx(5400, abs=50)
        assert page.locator(".transcript [aria-current]").inner_text().endswith("结果比原来快了四倍。")
        mark = page.locator('[data-lane="marks"] button')
        at = float(mark.get_attribute("data-at") or "nan")
        mark.click()
        settled(page)
        assert now(page) == pytest.approx(at, abs=50)
        page.keyboard.press("2")
        settled(page)
        question = page.locator('[data-lane="questions"] button').nth(1)
        assert now(page) == pytest.approx(float(question.get_attribute("data-at") or "nan"), abs=50)


def test_the_keyboard_alone_is_enough(desk: Desk) -> None:
    view = open_view(desk)
    with at_the_desk(desk) as browser:
        page = browser.replay(view)
        steps = {"ArrowRight": 5000, "ArrowLeft": 0, "ArrowDown": 300, ".": 340, ",": 300, "l": 10_300}
        for key, expected in steps.items():
            page.keyboard.press(key)
            settled(page)
            assert now(page) == pytest.approx(expected, abs=1000 if key == "l" else 60), key
        page.keyboard.press("j")
        settled(page)
        assert now(page) < 500
        page.keyboard.press("/")
        page.keyboard.type("measure")
        assert page.locator(".found").inner_text() == "1 of 1"
        page.keyboard.press("Enter")
        settled(page)
        assert now(page) == pytest.approx(9400, abs=60)
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        assert page.locator("#key-help").is_visible()
        page.keyboard.press("Escape")
        page.focus("#tab-transcript")
        page.keyboard.press("ArrowRight")
        assert page.locator("#panel-evidence").is_visible()
        assert page.locator("#tab-evidence").evaluate("node => node === document.activeElement")


def test_the_seconds_that_were_played_are_the_seconds_on_record(desk: Desk) -> None:
    view = open_view(desk)
    reported = threading.Event()

    def finished(_app: Flask, response: Response) -> None:
        if request.endpoint == "replay.watched" and response.status_code == 200:
            reported.set()

    with request_finished.connected_to(finished, desk.app), at_the_desk(desk) as browser:
        page = browser.replay(view)
        page.click("text=我们把导入拆成三个队列")
        settled(page)
        page.keyboard.press("k")
        passed(page, 5200)
        page.keyboard.press("k")
        stopped = now(page)
        page.click("text=First I write")
        settled(page)
        reported.clear()
        page.goto("/candidates")
        assert reported.wait(10), "nothing was reported when the page was left"
    ranges = watched(desk)
    assert len(ranges) == 1
    assert ranges[0] == pytest.approx([2700, stopped], abs=120)


def test_when_the_view_is_over_the_page_says_so_and_offers_to_go_on(desk: Desk) -> None:
    view = open_view(desk)
    with at_the_desk(desk) as browser:
        page = browser.replay(view)
        post(desk.client(Role.RECRUITER), f"{view}/close")
        page.reload()
        assert page.locator("text=This replay has ended").first.is_visible()
        page.click("text=Open replay again")
        ready(page)
        assert page.url.split("/replay/")[1] != view.split("/replay/")[1]


def test_without_scripts_the_picture_is_there(desk: Desk) -> None:
    view = open_view(desk)
    with at_the_desk(desk) as browser:
        window = browser.window(Role.RECRUITER)
        state = window.context.cookies()
        plain = browser.browser.new_context(java_script_enabled=False, base_url=browser.server.url)
        plain.add_cookies(state)
        page = plain.new_page()
        page.goto(view)
        assert page.locator("video[controls]").count() == 1


# Each group of signals beside its panel: its share of the panel's width. The panel must not scroll sideways.
GROUP_WIDTHS = """(list) => [...list.children].map(
  (group) => group.getBoundingClientRect().width / list.clientWidth)"""


@pytest.mark.long
def test_evidence_lies_below_one_another_over_the_panels_width(desk: Desk) -> None:
    view = open_view(desk)
    with at_the_desk(desk) as browser:
        for lang, width in (("en", 360), ("zh", 1280)):
            page = browser.replay(view, width=width, lang=lang)
            page.click("#tab-evidence")
            evidence = page.locator(".evidence-list")
            assert evidence.locator("details").count() >= 2
            shares = evidence.evaluate(GROUP_WIDTHS)
            assert min(shares) >= 0.6, shares
            assert evidence.evaluate("(list) => list.scrollWidth <= list.clientWidth")
            page.context.close()


def test_a_vault_locked_meanwhile_stops_what_is_buffered_too(desk: Desk) -> None:
    view = open_view(desk)
    with at_the_desk(desk) as browser:
        page = browser.replay(view)
        page.keyboard.press("k")
        page.wait_for_function("() => !document.querySelector('video').paused")
        desk.keyholder.lock()
        page.locator("text=The vault is locked").first.wait_for(timeout=20_000)
        assert page.evaluate("document.querySelector('video').paused")
        unlock(desk.settings)
        page.wait_for_function("() => document.querySelector('.banner[data-when=held]').hidden")
        page.wait_for_function("() => !document.querySelector('video').paused")


def test_a_vault_locked_meanwhile_is_said_and_unlocking_goes_on_at_the_same_place(desk: Desk) -> None:
    view = open_view(desk)
    with at_the_desk(desk) as browser:
        page = browser.replay(view)
        desk.keyholder.lock()
        while page.request.get(f"{view}/tracks/camera", headers={"Range": "bytes=0-0"}).ok:
            page.wait_for_timeout(200)  # the lock is learnt within seconds
        # What is buffered needs no server: an address that the browser has not read yet.
        page.evaluate("() => { document.querySelector('video').src += '?anew'; }")
        page.locator("text=The vault is locked").first.wait_for()
        assert not page.locator("text=The picture could not be read").is_visible()
        page.keyboard.press("l")
        unlock(desk.settings)
        page.wait_for_function("() => document.querySelector('.banner[data-when=held]').hidden")
        page.wait_for_function("() => document.querySelector('video').readyState >= 2")
        settled(page)
        assert now(page) == pytest.approx(10_000, abs=1000)


@pytest.mark.parametrize(
    ("lang", "missing", "to_do"),
    [
        (
            "en",
            ("No waveform", "No transcript", "No signals"),
            "Ask your system administrator to install one",
        ),
        ("zh", ("没有波形", "没有文字稿", "没有信号"), "请系统管理员安装模型包"),
    ],
)
def test_without_a_model_pack_the_page_says_what_is_missing_and_what_to_do(
    desk: Desk, lang: str, missing: tuple[str, ...], to_do: str
) -> None:
    recording = desk.sealed(analysed=False)
    skipped(desk, recording, "no_model_pack")
    view = post(desk.client(Role.RECRUITER), f"/recordings/{recording}/views").location
    with at_the_desk(desk) as browser:
        page = browser.window(Role.RECRUITER, lang)
        page.goto(view)
        page.wait_for_selector("main[data-ready]")
        wave, transcript, evidence = (page.locator(f"{place} .absent-words") for place in PLACES_OF_ANALYSIS)
        for place, name in zip((wave, transcript), missing, strict=False):
            expect(place).to_contain_text(name)
            expect(place).to_contain_text(to_do)
        assert page.locator("canvas.wave").is_hidden(), "an empty box"
        page.click("#tab-evidence")
        expect(evidence).to_contain_text(missing[2])
        expect(evidence).to_contain_text(to_do)


def test_once_the_analysis_is_there_the_words_give_way_to_it(desk: Desk) -> None:
    recording = desk.sealed(analysed=False)
    skipped(desk, recording, "no_model_pack")
    view = post(desk.client(Role.RECRUITER), f"/recordings/{recording}/views").location
    with transaction("worker", desk.settings) as tx:
        tx.execute(
            update(analysis).where(analysis.c.recording_id == recording).values(state="queued", reason=None)
        )
    with at_the_desk(desk) as browser:
        page = browser.window(Role.RECRUITER)
        page.goto(view)
        expect(page.locator(".wavebox .absent-words")).to_contain_text("appears here by itself")
        desk.analysed(recording)
        ready(page)
        expect(page.locator("canvas.wave")).to_be_visible()
        expect(page.locator(".wavebox .absent-words")).to_be_hidden()


REFUSALS = [
    (503, "The vault is locked.", True),
    (404, "There is nothing here, or it is not yours to see.", False),
    (502, "A stored file is damaged.", False),
    (502, None, True),  # a proxy's page, while the application is started anew
]


@pytest.mark.long
def test_that_the_page_goes_on_by_itself_is_said_only_where_it_does(desk: Desk) -> None:
    view = open_view(desk)
    with at_the_desk(desk) as browser:
        page = browser.replay(view)
        for status, message, by_itself in REFUSALS:
            refuse(page, status, message)
            banner = page.locator(".notice .banner:visible")
            expect(banner).to_contain_text(message or "The connection is interrupted.")
            goes_on = banner.get_by_text("goes on by itself")
            again = banner.get_by_role("link", name="Try again")
            assert (goes_on.is_visible(), again.is_visible()) == (
                by_itself and message is not None,
                not by_itself,
            )
            page.unroute("**/tracks/camera*")
            if by_itself:
                expect(banner).to_have_count(0)
            else:
                again.click()
                ready(page)


def refuse(page: Page, status: int, message: str | None) -> None:
    """Answer the player's next demand so."""
    answer = {"json": {"message": message}} if message else {"body": "<h1>Bad Gateway</h1>"}
    page.route("**/tracks/camera*", lambda route: route.fulfill(status=status, **answer))
    page.evaluate("() => { document.querySelector('video').src += '?anew'; }")


def test_figures_of_signals_carry_no_false_digits_and_say_in_words_how_sure_they_are(desk: Desk) -> None:
    recording = desk.sealed(analysed=False)
    spans = {"start_ms": 0, "end_ms": 2000}
    signals = [
        {"kind": "face_count", **spans, "value": 1, "unit": "faces", "confidence": 0.82},
        {"kind": "sharpness", **spans, "value": 263.4567, "unit": "index", "confidence": None},
        {"kind": "level", **spans, "value": -23.46, "unit": "dbfs", "confidence": 0.3},
        {"kind": "fps", **spans, "value": 24.96, "unit": "fps", "confidence": 0.6},
    ]
    desk.analysed(recording, {**CONTENTS, "signals": {"version": 1, "signals": signals}})
    view = post(desk.client(Role.RECRUITER), f"/recordings/{recording}/views").location
    with at_the_desk(desk) as browser:
        page = browser.replay(view)
        page.click("#tab-evidence")
        said = page.locator(".evidence-list .jump").all_text_contents()
    assert [text.split(" ", 1)[1] for text in said] == [
        "1 face · quite sure",
        "263 · sharp",
        "-23 dBFS · not sure",
        "25 pictures a second · fairly sure",
    ]
