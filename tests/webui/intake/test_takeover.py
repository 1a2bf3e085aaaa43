"""A second browser: a newer link changes nothing until it is begun with; then the earlier one only sends."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance import intake_progress, intake_session
from appliance.intake_folder import IntakeFolder
from appliance.packet import Packet
from appliance.stages import record
from tests.support.candidate import Candidate, Epoch, flask_call
from tests.support.intake_site import IntakeSite
from webui.intake.app import create_app

Begun = Callable[..., Candidate]
LATER_MS = 60_000


def code(answer: tuple[int, dict[str, object]]) -> tuple[int, object]:
    return answer[0], answer[1].get("code")


def later_epoch(candidate: Candidate, track: str = "camera") -> Epoch:
    """An epoch whose clock says a minute from now, so that no allowance for clocks hides it."""
    fresh = candidate.epoch(track)
    clock = fresh.writer.opening.clock
    return candidate.epoch(track, clock=replace(clock, wall_ms=clock.wall_ms + LATER_MS))


def newer_link(site: IntakeSite, candidate: Candidate) -> tuple[Packet, str]:
    return site.reinvite(site.folder.packet(candidate.recording))


def taken_over(site: IntakeSite, first: Candidate) -> Candidate:
    """Another browser that has begun with a newer link."""
    _, secret = newer_link(site, first)
    second = Candidate(first.call, first.recording, secret)
    assert second.begin()[0] == 200
    return second


def everything(candidate: Candidate) -> dict[str, tuple[int, object]]:
    """What a running candidate does, from the first question to the finish."""
    epoch = later_epoch(candidate)
    return {
        "check": code(candidate.api("POST", "/check", json={})),
        "consent": code(candidate.consent()),
        "open": code(candidate.api("POST", "/questions/1/open")),
        "chunk": code(candidate.put(epoch, epoch.chunk(b"new"))),
        "heartbeat": code(candidate.api("POST", "/heartbeat", json={"numbers": {}})),
        "close": code(candidate.api("POST", "/questions/1/close")),
        "begin": code(candidate.begin()),
        "finish": code(candidate.finish(epoch)),
    }


def test_a_link_that_nobody_has_opened_changes_nothing(begun: Begun, site: IntakeSite) -> None:
    candidate = begun()
    newer_link(site, candidate)
    answers = everything(candidate)
    assert {name: answer for name, answer in answers.items() if answer[0] not in (200, 201)} == {}
    assert candidate.api("GET", "/state")[1]["state"] == "finished"


def test_the_link_that_is_begun_with_ends_the_earlier_browser(begun: Begun, site: IntakeSite) -> None:
    first = begun()
    running = first.epoch()
    assert first.put(running, running.chunk(b"one"))[0] == 201
    second = taken_over(site, first)
    superseded = (409, "superseded")
    expected = dict.fromkeys(
        ("check", "consent", "open", "chunk", "heartbeat", "close", "finish"), superseded
    )
    assert everything(first) == {**expected, "begin": (410, "replaced")}
    assert first.api("GET", "/state")[1]["state"] == "superseded"
    waiting = first.epoch("events")  # begun before, arriving only now
    assert first.put(waiting, waiting.chunk(b"opened before"))[0] == 201
    assert first.put(running, running.chunk(b"two"))[0] == 201
    assert first.put(running, running.end())[0] == 201
    assert first.withdraw()[0] == 200
    mine = second.epoch()
    second.put(mine, mine.chunk(b"three"))
    assert second.finish(running, mine)[0] == 200


def test_an_earlier_link_binds_no_other_browser(begun: Begun, site: IntakeSite) -> None:
    first = begun()
    newer_link(site, first)
    stranger = Candidate(first.call, first.recording, first.secret)
    assert code(stranger.begin()) == (410, "replaced")
    assert first.begin()[0] == 200
    never_begun, secret = site.invite()
    site.reinvite(never_begun)
    assert code(Candidate(first.call, never_begun.recording, secret).begin()) == (410, "replaced")


def test_a_browser_that_opens_the_newer_link_itself_goes_on_in_every_tab(
    begun: Begun, site: IntakeSite
) -> None:
    candidate = begun()
    earlier, statements = candidate.token, candidate.packet
    _, candidate.secret = newer_link(site, candidate)
    assert candidate.begin()[0] == 200
    candidate.token, candidate.packet = earlier, statements
    assert candidate.api("POST", "/questions/1/open")[0] == 200
    epoch = later_epoch(candidate)
    assert candidate.put(epoch, epoch.chunk(b"in the tab that was open before"))[0] == 201


def test_a_later_deadline_is_offered_to_the_browser_whose_time_is_over(
    begun: Begun, site: IntakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = begun(deadline=datetime.now(UTC) + timedelta(hours=1))

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.now(UTC) + timedelta(hours=2)

    monkeypatch.setattr(intake_session, "datetime", Later)
    monkeypatch.setattr(intake_progress, "datetime", Later)
    assert candidate.api("GET", "/state")[1]["state"] == "expired"
    packet = replace(site.folder.packet(candidate.recording), deadline=datetime.now(UTC) + timedelta(days=1))
    _, candidate.secret = site.reinvite(packet)
    assert candidate.api("GET", "/state")[1]["state"] == "superseded"  # so the page offers to begin again
    assert candidate.begin()[1]["state"] == "consented"


@pytest.mark.parametrize("doing", [Candidate.consent, lambda first: first.api("POST", "/questions/1/open")])
def test_a_takeover_between_the_look_and_the_record_counts(
    begun: Begun, site: IntakeSite, monkeypatch: pytest.MonkeyPatch, doing: Callable[[Candidate], Any]
) -> None:
    first = begun()
    append = IntakeFolder.append

    def overtaken(*about: Any) -> object:
        monkeypatch.setattr(IntakeFolder, "append", append)
        taken_over(site, first)
        return append(*about)

    monkeypatch.setattr(IntakeFolder, "append", overtaken)
    assert code(doing(first)) == (409, "superseded")


HOUR_MS = 3_600_000


@pytest.mark.parametrize("ahead_ms", [-HOUR_MS, HOUR_MS, 400 * 24 * HOUR_MS])
def test_a_clock_that_is_wrong_decides_no_takeover(begun: Begun, site: IntakeSite, ahead_ms: float) -> None:
    packet, secret = site.invite()
    first = Candidate(begun().call, packet.recording, secret)
    assert first.begin(wall_ms=time.time() * 1000 + ahead_ms)[0] == 200
    assert first.consent()[0] == 200

    def opened(track: str, after_ms: float) -> Epoch:
        clock = first.epoch().writer.opening.clock
        return first.epoch(track, clock=replace(clock, wall_ms=clock.wall_ms + ahead_ms + after_ms))

    waiting = opened("camera", 0)
    taken_over(site, first)
    assert first.put(waiting, waiting.chunk(b"recorded before the takeover"))[0] == 201
    fresh = opened("events", LATER_MS)
    assert code(first.put(fresh, fresh.chunk(b"recorded after it"))) == (409, "superseded")


def test_a_browser_that_does_not_say_its_time_is_taken_to_be_right(begun: Begun, site: IntakeSite) -> None:
    packet, secret = site.invite()
    first = Candidate(begun().call, packet.recording, secret)
    assert first.begin(wall_ms=None)[0] == 200
    assert first.consent()[0] == 200
    waiting = first.epoch()
    taken_over(site, first)
    assert first.put(waiting, waiting.chunk(b"before"))[0] == 201
    fresh = later_epoch(first, "events")
    assert code(first.put(fresh, fresh.chunk(b"after"))) == (409, "superseded")


@pytest.mark.parametrize("wall_ms", ["1", True, -1, 2**53, 1e300, [], {}])
def test_a_time_that_is_none_is_refused(site: IntakeSite, begun: Begun, wall_ms: object) -> None:
    assert code(begun().begin(wall_ms=wall_ms)) == (422, "bad_field")


STEPS = st.sampled_from(("mail", "begin A", "begin B", "A", "B"))


@settings(max_examples=25, deadline=None)
@given(st.lists(STEPS, min_size=3, max_size=9))
def test_in_every_order_the_browser_that_began_last_is_the_one_that_records(steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        site = IntakeSite(Path(folder))
        packet, secret = site.invite()
        call = flask_call(create_app(site.settings).test_client(use_cookies=False))
        browsers = {name: Candidate(call, packet.recording, secret) for name in "AB"}
        begun: list[tuple[int, str]] = []  # generation, browser
        running: dict[str, Epoch] = {}
        generation = 1
        for step in steps:
            name = step[-1]
            browser = browsers.get(name)
            if browser is None:
                packet, secret = site.reinvite(packet)
                generation += 1
            elif step.startswith("begin"):
                holder = next((who for bound, who in begun if bound == generation), name)
                browser.secret = secret
                status, _ = browser.begin()
                assert status == (200 if holder == name else 409)
                if holder != name:
                    continue
                if (generation, name) not in begun:
                    begun.append((generation, name))
                assert browser.consent()[0] == 200
                running.setdefault(name, browser.epoch())
            elif name in running:
                current = begun[-1][1] == name
                piece = running[name].chunk(b"of an epoch begun before")
                assert browser.put(running[name], piece)[0] == 201
                fresh = later_epoch(browser, "events")
                assert browser.put(fresh, fresh.chunk(b"new"))[0] == (201 if current else 409)
                assert browser.api("POST", "/questions/1/open")[0] == (200 if current else 409)
                assert browser.api("GET", "/state")[1]["state"] == ("recording" if current else "superseded")


def test_after_the_finish_nothing_new_begins(begun: Begun) -> None:
    candidate = begun()
    listed, waiting = candidate.epoch(), candidate.epoch("events")
    candidate.put(listed, listed.chunk(b"one"))
    assert candidate.finish(listed)[0] == 200
    assert candidate.put(waiting, waiting.chunk(b"begun before the finish"))[0] == 201
    fresh = later_epoch(candidate)
    assert code(candidate.put(fresh, fresh.chunk(b"begun after it"))) == (410, "finished")
    assert record.CLOCK_SLACK_SECONDS < LATER_MS / 1000


@pytest.mark.parametrize("ahead_ms", [0, -HOUR_MS, HOUR_MS])
def test_after_the_deadline_only_what_was_begun_before_is_taken(
    site: IntakeSite, begun: Begun, monkeypatch: pytest.MonkeyPatch, ahead_ms: float
) -> None:
    deadline = datetime.now(UTC) + timedelta(hours=1)
    packet, secret = site.invite(deadline=deadline)
    candidate = Candidate(begun().call, packet.recording, secret)
    assert candidate.begin(wall_ms=time.time() * 1000 + ahead_ms)[0] == 200
    assert candidate.consent()[0] == 200

    def opened(track: str, seconds: float) -> Epoch:
        """An epoch begun so long after the deadline, by a clock that is as wrong as it was at Begin."""
        clock = candidate.epoch().writer.opening.clock
        wall_ms = (deadline.timestamp() + seconds) * 1000 + ahead_ms
        return candidate.epoch(track, clock=replace(clock, wall_ms=wall_ms))

    running, waiting = opened("camera", -60), opened("events", -30)
    early = opened("camera", 60)
    assert candidate.put(running, running.chunk(b"one"))[0] == 201
    assert candidate.put(early, early.chunk(b"here before the deadline, whatever it says"))[0] == 201

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return deadline + timedelta(seconds=90)

    monkeypatch.setattr(intake_session, "datetime", Later)
    monkeypatch.setattr(record, "datetime", Later)
    late = opened("camera", 60)
    assert code(candidate.put(late, late.chunk(b"begun after it"))) == (410, "late")
    assert candidate.put(waiting, waiting.chunk(b"begun before it"))[0] == 201
    assert candidate.put(running, running.chunk(b"two"))[0] == 201
    assert candidate.finish(running, waiting, early)[0] == 200


def test_a_tab_with_the_earlier_link_sends_what_the_later_deadline_allowed(
    begun: Begun, site: IntakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = begun(deadline=datetime.now(UTC) + timedelta(hours=1))
    earlier = candidate.token
    packet = replace(site.folder.packet(candidate.recording), deadline=datetime.now(UTC) + timedelta(days=1))
    _, candidate.secret = site.reinvite(packet)
    assert candidate.begin()[0] == 200
    candidate.token = earlier
    clock = candidate.epoch().writer.opening.clock
    epoch = candidate.epoch(clock=replace(clock, wall_ms=clock.wall_ms + 2 * HOUR_MS))

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.now(UTC) + timedelta(hours=2)

    monkeypatch.setattr(record, "datetime", Later)
    assert candidate.put(epoch, epoch.chunk(b"within the later one"))[0] == 201
