"""Record: what the browser's recorder took is what is kept, through outages, reloads and a killed browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.tables import attempt, track
from tests.flow import measure, quick
from tests.flow.camera import devices
from tests.flow.desk import Desk, browser, in_a_week
from tests.flow.fixtures import (
    LEAD,
    OUTAGE,
    QUESTIONS,
    SHARING,
    Hired,
    Told,
    speech,
    tell_anna,
)
from tests.flow.pressure import BUSY, room_for
from tests.flow.relay import Relay
from tests.flow.rows import rows
from tests.flow.sitting import Sitting
from tests.support import recorder, story
from tests.support.product import Product

STATED_MS = 100
CLOCKS_MS = 250  # between the moment that the product notes and the one at which this side looks
Film = Callable[[str, float, float], Told]


@pytest.fixture(scope="session")
def annas_media(recruiter: Desk, anna: Told) -> bytes:
    """Anna's decrypted camera track, as the replay page gets it."""
    return recruiter.track(recruiter.open_view(anna.recording))


def test_the_length_is_the_recorders(anna: Told, annas_media: bytes) -> None:
    [seconds] = anna.seconds
    kept = (anna.report.duration_ms / 1000, measure.container_seconds(annas_media))
    assert max(kept) - min(kept) <= 0.2, kept
    assert abs(kept[0] - seconds) <= room_for(0.2, anna.waited), (kept, seconds)


def test_every_packet_that_the_recorder_gave_is_kept_at_its_time(anna: Told, annas_media: bytes) -> None:
    assert measure.furthest_apart(annas_media, anna.facts["media"]) <= 1.0


@pytest.fixture(scope="session")
def film(live: Product, hired: Hired, recruiter: Desk, relay: Relay, folder: Path, person: Path) -> Film:
    """Another candidate who does what Anna did: name, seconds of outage, seconds before the speech."""

    def tell(name: str, outage: float, lead: float) -> Told:
        form = {"people": f"{name}, {name}@example.com", "deadline": in_a_week()}
        assert recruiter.post(f"{hired.english}/invitations", form=form).status == 200
        fed = devices(folder / name, person, speech("en_librispeech_1995-1837-0001.wav"), lead)
        return tell_anna(live, relay.link_to(f"{name}@example.com"), fed, folder / name, outage)

    return tell


def lost(told: Told) -> list[object]:
    """Gaps where something was recorded and is not there; the encoder's pauses are judged by length."""
    return [gap for gap in told.report.gaps if gap[2] != "no_samples"]


def test_nothing_is_missing_between_two_packets_although_the_network_was_lost(
    anna: Told,
    annas_media: bytes,
    film: Film,
    recruiter: Desk,
    record_property: pytest.RecordProperty,
) -> None:
    """A pause of the product's making comes each time; one of a busy machine's does not come twice more."""
    pauses = measure.largest_pauses(annas_media)
    for name in ("bea", "cleo"):
        if max(pauses.values()) <= STATED_MS or anna.waited > BUSY:
            break
        print(f"filmed again: {pauses}, something waited for {anna.waited:.0%} of the time")
        anna = film(name, OUTAGE, LEAD)
        pauses = measure.largest_pauses(recruiter.track(recruiter.open_view(anna.recording)))
    record_property(
        "figure", f"longest time between packets {pauses} ms; processors waited for {anna.waited:.0%}"
    )
    assert set(pauses) == {"video", "audio"}
    assert lost(anna) == []
    assert max(pauses.values()) <= room_for(STATED_MS, anna.waited), pauses


def test_while_offline_the_page_says_so_and_pieces_wait(anna: Told) -> None:
    assert "nothing is lost" in anna.sitting.words["offline"]
    assert anna.facts["pieces"] >= OUTAGE // 2 - 1


def test_the_room_shows_number_hint_and_time(anna: Told) -> None:
    words = anna.sitting.words
    assert words["number"] == f"Question 1 of {len(QUESTIONS)}"
    assert words["hint"] == QUESTIONS[0][3]
    whole = sum(prep + answer for _, prep, answer, _ in QUESTIONS)
    assert words["elapsed"].endswith(f"/ {whole // 60}:{whole % 60:02}")


def test_what_happened_stands_where_it_happened(anna: Told, recruiter: Desk) -> None:
    timeline = recruiter.document(recruiter.open_view(anna.recording), "timeline")
    first = next(each for each in timeline["tracks"] if each["name"] == "camera")
    started = anna.facts["started"] - first["start_ms"]
    at = {}
    for event in timeline["events"]:
        at.setdefault((event["kind"], event.get("question")), event["at_ms"])
    moments = anna.sitting.moments
    for key, moment in (
        (("answer_started", 1), "answer"),
        (("mark", 1), "mark"),
        (("offline", None), "offline"),
        (("online", None), "online"),
        (("question_shown", 2), "second"),
        (("answer_ended", 3), "finish"),
    ):
        earliest, latest = (each - started for each in moments[moment])
        assert earliest - CLOCKS_MS <= at[key] <= latest + CLOCKS_MS, key
    assert [event["text"] for event in timeline["events"] if event["kind"] == "typed"] == [anna.note]
    assert [each["question"] for each in timeline["answers"]] == [1, 2, 3]
    if anna.sitting.words["while away"] == "hidden":
        assert at["tab_hidden", None] < at["tab_visible", None]


def test_three_page_loads_make_one_track_with_its_gaps_named(ming: Told, recruiter: Desk) -> None:
    timeline = recruiter.document(recruiter.open_view(ming.recording), "timeline")
    camera = next(each for each in timeline["tracks"] if each["name"] == "camera")
    assert len(timeline["pages"]) == len(camera["epochs"]) == 3
    assert {gap[2] for gap in camera["gaps"] if gap[1] - gap[0] > 1000} == {"not_recorded"}
    reloads = [event for event in timeline["events"] if event["kind"] == "reload"]
    assert [event["offline"] for event in reloads] == [True, False]
    last = camera["epochs"][-1]
    found = ((last["end_ms"] - last["start_ms"]) / 1000, ming.seconds[-1])
    assert abs(found[0] - found[1]) <= room_for(0.2, ming.waited), found


def test_a_killed_browser_lost_only_the_unfinished_slice(live: Product, ming: Told) -> None:
    committed = ming.facts["committed"]
    assert len(committed) >= 4
    assert committed <= quick.held_at_intake(live, ming.recording)
    [row] = rows(live, attempt, id=ming.recording)
    assert row.end_proven


def test_the_room_spoke_chinese(ming: Told) -> None:
    assert ming.facts["lang"] == "zh-Hans"
    assert "断网" in ming.facts["resumed"]


def test_the_screen_is_a_second_track_on_the_same_clock(live: Product, ming: Told, recruiter: Desk) -> None:
    camera, screen = sorted(rows(live, track, recording_id=ming.recording), key=lambda each: each.name)
    assert (camera.name, screen.name) == ("camera", "screen")
    view = recruiter.open_view(ming.recording)
    shared = next(e for e in recruiter.document(view, "timeline")["events"] if e["kind"] == "screen_started")
    assert abs(screen.start_ms - shared["at_ms"]) <= 500
    # A still screen is one picture a second, and the file's own length ends with the last one's beginning.
    assert abs(measure.container_seconds(recruiter.track(view, "screen")) - screen.duration_ms / 1000) <= 1.5


@pytest.mark.long
def test_thirty_seconds_without_a_network_leave_no_gap(film: Film, recruiter: Desk) -> None:
    olga = film("olga", 30.0, 20.0)
    assert olga.facts["pieces"] >= 14
    [seconds] = olga.seconds
    assert lost(olga) == []
    media = recruiter.track(recruiter.open_view(olga.recording))
    assert measure.furthest_apart(media, olga.facts["media"]) <= 1.0
    assert abs(olga.report.duration_ms / 1000 - seconds) <= room_for(0.2, olga.waited)
    assert max(measure.largest_pauses(media).values()) <= room_for(STATED_MS, olga.waited)


@pytest.mark.long
def test_ten_minutes_of_camera_and_screen_with_four_of_them_offline(
    live: Product, hired: Hired, recruiter: Desk, relay: Relay, folder: Path, person: Path
) -> None:
    form = {"people": "Long, long@example.com", "deadline": in_a_week()}
    assert recruiter.post(f"{hired.mandarin}/invitations", form=form).status == 200
    fed = devices(folder / "long", person, speech("zh_funasr_example.wav"), LEAD)
    with browser(folder / "long" / "profile", *fed.arguments, SHARING, locale="zh-CN") as context:
        page, board = context.pages[0], context.new_page()
        board.goto("data:text/html,<title>Whiteboard</title><h1>Shared</h1>")
        page.bring_to_front()
        sitting = Sitting(page, relay.link_to("long@example.com"))
        sitting.check_in()
        page.click("#share-screen")
        page.wait_for_selector("#screen-on:not([hidden])")
        page.wait_for_timeout(180_000)
        context.set_offline(True)
        page.wait_for_timeout(240_000)
        assert sitting.waiting() >= 115
        assert sitting.waiting("screen") >= 60  # a still screen fills fewer slices
        context.set_offline(False)
        page.wait_for_timeout(182_000)
        sitting.all_saved()
        sitting.finish()
        [seconds] = recorder.camera_seconds(page)
    report = story.wait_for_report(live.settings, sitting.recording, 600)
    lengths = {each["name"]: each["duration_ms"] / 1000 for each in report.tracks}
    assert abs(lengths["camera"] - seconds) <= 0.2
    assert min(lengths.values()) >= 599
    assert [gap for gap in report.gaps if gap[1] - gap[0] > 1000] == []
