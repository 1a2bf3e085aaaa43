"""The candidate's room when something fails: it is said, a further press goes on, nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Playwright, expect

from appliance.domain import Limits
from appliance.intake_state import RecordKind
from appliance.packet import Packet, link
from tests.support import room
from tests.support.intake_site import QUESTIONS, IntakeSite
from tests.support.recorded import arrived, events, opened
from tests.support.room import (
    Server,
    advance,
    answer_and_finish,
    at,
    begin_recording,
    chromium,
    go_to_rules,
    start_recording,
)

pytestmark = room.NEEDS_BROWSER
TROUBLE = "[data-trouble]:visible"
PART_MISSING = "Thank you. Your interview has arrived, but a part of it is missing."


class Faulty:
    """Stands before the application and answers the next requests whose path ends so in its place."""

    def __init__(self, wsgi: Any) -> None:
        self.wsgi = wsgi
        self.faults: list[tuple[str, str, bytes]] = []

    def fail(self, path: str, status: str, body: bytes = b"{}", times: int = 1) -> None:
        self.faults += [(path, status, body)] * times

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        for fault in self.faults:
            path, status, body = fault
            if environ["PATH_INFO"].endswith(path) and environ["REQUEST_METHOD"] != "GET":
                self.faults.remove(fault)
                environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                start(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
                return [body]
        answer: Iterable[bytes] = self.wsgi(environ, start)
        return answer


@pytest.fixture
def faulty(server: Server) -> Iterator[Faulty]:
    """In front of the same application as `server`."""
    before = Faulty(server.app.wsgi_app)
    server.app.wsgi_app = before
    yield before
    assert before.faults == []


def questions(site: IntakeSite, packet: Packet) -> list[tuple[str, int]]:
    """Questions opened and closed, in the order that intake has recorded."""
    records = site.folder.records(packet.recording)
    return [(r.body["event"][9:], r.body["question"]) for r in records if r.kind == RecordKind.STATE]


def told(page: Page, words: str) -> None:
    expect(page.locator(TROUBLE)).to_contain_text(words, timeout=10000)


def test_each_step_that_the_server_refuses_is_told_and_can_be_pressed_again(
    page: Page, site: IntakeSite, server: Server, faulty: Faulty, invited: tuple[Packet, str]
) -> None:
    packet, address = invited
    page.goto(address)
    faulty.fail("/begin", "500 Internal Server Error")
    page.click("#begin:not([disabled])")
    told(page, "This step did not work")
    faulty.fail("/begin", "503 Service Unavailable")
    page.click("#begin")
    told(page, "The network does not answer")
    page.click("#begin")
    at(page, "check")
    page.click("#play-sound")
    page.click("#heard")
    faulty.fail("/check", "500 Internal Server Error")
    page.click("#check-go:not([disabled])")
    told(page, "This step did not work")
    page.click("#check-go")
    at(page, "trial")
    page.click("#trial-go")
    page.check("#tick-record")
    for status in ("503 Service Unavailable", "500 Internal Server Error"):
        faulty.fail("/consent", status)
        page.click("#agree")
        expect(page.locator(TROUBLE)).to_contain_text("try again")
    faulty.fail("/questions/1/open", "500 Internal Server Error")
    page.click("#agree")
    at(page, "room")
    told(page, "This step did not work")
    expect(page.locator("#advance")).to_have_text("Try again")
    page.click("#advance")
    expect(page.locator("#question-number")).to_have_text("Question 1 of 2")
    expect(page.locator(TROUBLE)).to_have_count(0)
    expect(page.locator("#advance")).to_have_text("Next question", timeout=10000)
    page.wait_for_timeout(1000)  # a press just after the clock has begun the answer does not count
    faulty.fail("/questions/1/close", "500 Internal Server Error")
    faulty.fail("/questions/2/open", "500 Internal Server Error")
    for _ in range(2):
        page.click("#advance")
        told(page, "This step did not work")
        expect(page.locator("#advance")).to_have_text("Try again")
    faulty.fail("/questions/2/open", "503 Service Unavailable", times=2)
    page.click("#advance")
    expect(page.locator("#waiting-network")).to_be_visible()
    expect(page.locator("#question-number")).to_have_text("Question 2 of 2", timeout=15000)
    expect(page.locator("#waiting-network")).to_be_hidden()
    faulty.fail("/finish", "500 Internal Server Error")
    while page.evaluate(room.RECORDING):
        advance(page)
    at(page, "problem")
    expect(page.locator("#problem-words")).to_contain_text("kept")
    page.click("#problem-retry")
    at(page, "done")
    assert questions(site, packet) == [("opened", 1), ("closed", 1), ("opened", 2), ("closed", 2)]
    consents = [r for r in site.folder.records(packet.recording) if r.kind == RecordKind.CONSENT]
    assert len(consents) == 1
    assert len(opened(site, packet)["camera"]) == 1
    seen = [(e["kind"], e["question"]) for e in events(site, packet) if "question" in e]
    assert seen == [(k, q) for q in (1, 2) for k in ("question_shown", "answer_started", "answer_ended")]


def test_between_two_questions_the_server_goes_away_and_a_press_asks_again_at_once(
    page: Page, site: IntakeSite, server: Server, invited: tuple[Packet, str]
) -> None:
    packet, address = invited
    begin_recording(page, address)
    advance(page)
    server.stop()
    page.click("#advance")
    expect(page.locator("#waiting-network")).to_be_visible()
    server.start()
    page.click("#advance")
    expect(page.locator("#question-number")).to_have_text("Question 2 of 2", timeout=1500)
    answer_and_finish(page)
    assert questions(site, packet) == [("opened", 1), ("closed", 1), ("opened", 2), ("closed", 2)]


@pytest.mark.parametrize(
    "answer", [("422 Unprocessable Content", b'{"code": "bad_opening"}'), ("201 Created", b"{}")]
)
def test_a_piece_that_the_server_does_not_hold_leaves_the_rest_proven(
    page: Page,
    site: IntakeSite,
    server: Server,
    faulty: Faulty,
    invited: tuple[Packet, str],
    answer: tuple[str, bytes],
) -> None:
    """Refused: set aside in the browser. Acknowledged and lost: the list is signed anew without it."""
    packet, address = invited
    go_to_rules(page, address)
    faulty.fail("/chunks/1", *answer)
    start_recording(page)
    room.until(page, lambda: arrived(site, packet) >= 2)
    answer_and_finish(page)
    expect(page.locator("#done-title")).to_have_text(PART_MISSING, use_inner_text=True)
    expect(page.locator("#aside-done")).to_be_visible()
    state = site.folder.state(packet.recording)
    assert state.finished
    assert int(state.receipt["chunks"]) >= 1


BREAK_ONE_SEALING = """() => {
  const encrypt = crypto.subtle.encrypt;
  crypto.subtle.encrypt = () => {
    crypto.subtle.encrypt = encrypt;
    return Promise.reject(new Error("broken"));
  };
}"""


@pytest.mark.long
def test_a_piece_that_is_lost_in_the_browser_is_told_with_the_receipt(
    page: Page, site: IntakeSite, invited: tuple[Packet, str]
) -> None:
    packet, address = invited
    begin_recording(page, address)
    room.until(page, lambda: arrived(site, packet) >= 1)
    page.evaluate(BREAK_ONE_SEALING)
    expect(page.locator("#piece-lost")).to_be_visible()
    answer_and_finish(page)
    expect(page.locator("#done-title")).to_have_text(PART_MISSING, use_inner_text=True)


@pytest.mark.long
def test_a_camera_that_goes_away_comes_back_by_a_press(
    page: Page, site: IntakeSite, invited: tuple[Packet, str]
) -> None:
    packet, address = invited
    begin_recording(page, address)
    room.until(page, lambda: arrived(site, packet) >= 1)
    page.evaluate(
        "() => { for (const track of document.getElementById('self-view').srcObject.getTracks())"
        " { track.stop(); track.dispatchEvent(new Event('ended')); } }"
    )
    expect(page.locator("#camera-trouble")).to_be_visible()
    page.click("#camera-again")
    expect(page.locator("#camera-trouble")).to_be_hidden()
    answer_and_finish(page)
    assert [epoch[:4] for epoch in opened(site, packet)["camera"]] == [b"\x1a\x45\xdf\xa3"] * 2


def test_a_denied_microphone_is_named(
    playwright: Playwright, server: Server, invited: tuple[Packet, str], tmp_path: Path
) -> None:
    _, address = invited
    with chromium(playwright, tmp_path / "profile", locale="en-GB") as context:
        context.clear_permissions()
        context.grant_permissions(["camera"])
        page = context.pages[0]
        page.goto(address)
        page.click("#begin:not([disabled])")
        expect(page.locator("#light-microphone [data-words]")).to_have_text("The microphone is not allowed.")
        context.grant_permissions(["camera", "microphone"])
        page.click("#retry-camera")
        expect(page.locator("#light-camera")).to_have_attribute("data-state", "ok")


def test_what_nobody_has_caught_is_told_without_its_stack(page: Page, invited: tuple[Packet, str]) -> None:
    _, address = invited
    page.goto(address)
    page.wait_for_selector("#begin:not([disabled])")
    page.evaluate("() => { Promise.reject(new Error('secret-in-a-stack')); }")
    told(page, "reload it")
    assert "secret-in-a-stack" not in page.inner_text("body")
    page.click("#begin")
    at(page, "check")


PRESS_AS_THE_ANSWER_BEGINS = """() => new Promise((done) => {
  const button = document.getElementById("advance");
  new MutationObserver((_, observer) => {
    if (button.textContent !== "Next question") return;
    observer.disconnect();
    button.click();
    done();
  }).observe(button, { childList: true });
})"""


def test_a_press_at_a_bad_moment_skips_nothing(
    page: Page, site: IntakeSite, invited: tuple[Packet, str]
) -> None:
    packet, address = invited
    page.goto(address)
    page.click("#begin:not([disabled])")
    page.click("#play-sound")
    page.click("#heard")
    page.click("#check-go:not([disabled])")
    page.click("#trial-record")
    page.click("#trial-go")  # before the trial recording has ended: it must not play into what follows
    start_recording(page)
    page.evaluate(PRESS_AS_THE_ANSWER_BEGINS)  # meant to start the answer, which the clock has just done
    page.wait_for_timeout(3000)
    expect(page.locator("#question-number")).to_have_text("Question 1 of 2")
    assert page.evaluate("document.getElementById('trial-replay').paused")
    answer_and_finish(page)
    assert questions(site, packet) == [("opened", 1), ("closed", 1), ("opened", 2), ("closed", 2)]


def test_a_page_whose_modules_do_not_come_says_so(page: Page, invited: tuple[Packet, str]) -> None:
    _, address = invited
    page.route("**/intake/room.js", lambda route: route.fulfill(status=503))
    page.goto(address)
    expect(page.locator(".loading")).to_be_visible(timeout=10000)
    page.unroute("**/intake/room.js")
    page.reload()
    page.wait_for_selector("#begin:not([disabled])")
    expect(page.locator(".loading")).to_be_hidden()


@pytest.mark.parametrize(
    ("limits", "reload"),
    [pytest.param(Limits(bytes=350_000), False, marks=pytest.mark.long), (Limits(epochs=2), True)],
)
def test_at_a_limit_recording_ends_with_a_signed_list_of_what_was_taken(
    site: IntakeSite, server: Server, page: Page, limits: Limits, reload: bool
) -> None:
    packet, secret = site.invite(limits=limits)
    begin_recording(page, link(server.url, packet.recording, secret))
    if reload:
        room.until(page, lambda: set(site.folder.tracks(packet.recording)) == {"camera", "events"})
        page.reload()
    at(page, "done", 60000)
    expect(page.locator("#limit-done")).to_be_visible()
    expect(page.locator("#done-title")).to_have_text(PART_MISSING, use_inner_text=True)
    state = site.folder.state(packet.recording)
    listed = json.loads(state.finish_statement)["epochs"]
    assert {each["track"] for each in listed} == {"camera", "events"}
    assert min(each["chunks"] for each in listed) >= 1
    assert state.closed == 1


def test_a_limit_met_after_the_last_press_is_told_with_the_receipt_and_later(
    site: IntakeSite, server: Server, page: Page, faulty: Faulty
) -> None:
    packet, secret = site.invite(questions=QUESTIONS[:1])
    begin_recording(page, link(server.url, packet.recording, secret))
    room.until(page, lambda: arrived(site, packet) >= 1)
    server.stop()
    while page.evaluate(room.RECORDING):
        advance(page)
    at(page, "finishing")
    expect(page.locator("#finishing-title")).to_have_text("All answers are recorded", use_inner_text=True)
    faulty.fail("/chunks/1", "413 Content Too Large", b'{"code": "recording_too_large"}')
    server.start()
    at(page, "done")
    expect(page.locator("#limit-done")).to_be_visible()
    expect(page.locator("#aside-done")).to_be_hidden()
    expect(page.locator("#done-title")).to_have_text(PART_MISSING, use_inner_text=True)
    page.reload()
    at(page, "status")
    expect(page.locator("#status-state")).to_contain_text("except for a part")
