"""Bad input to the whole product: it is refused or named, the rest goes on, people are told what to do.

What one module decides alone is tested beside it: chunks in tests/webui/intake/test_chunks.py, links in
test_begin.py, finish in test_interview.py, ranges in tests/webui/staff/test_ranges.py.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.domain import RecordingState
from appliance.packet import link
from appliance.tables import intake_record, recording
from storage.vault import EpochWriter, new_key
from tests.analysis.recorder import webm
from tests.flow import measure, quick
from tests.flow.desk import Desk, browser
from tests.flow.fixtures import Hired
from tests.flow.relay import Relay
from tests.flow.rows import rows
from tests.support import room, story
from tests.support.candidate import Candidate, Epoch, content_digest, flask_call
from tests.support.intake_site import IntakeSite
from tests.support.media import pieces, recorded
from tests.support.product import Product
from webui.intake.app import create_app

SECONDS = 4


@dataclass(frozen=True)
class Mangled:
    """What became of a recording of which one epoch is good."""

    recording: uuid.UUID
    report: story.Result
    gaps: list[list[Any]]
    media: bytes


@pytest.fixture(scope="session")
def mangled(live: Product, hired: Hired, relay: Relay, recruiter: Desk) -> Mangled:
    """The other epochs are all that can be wrong with one."""
    candidate = quick.begun(quick.invited(recruiter, relay, hired.english, "mangled"), analysis=False)
    good = webm(SECONDS)
    epochs = [
        quick.record(candidate, pieces(good, 2)),
        unreadable(candidate),
        quick.record(candidate, [os.urandom(20_000)]),
        quick.record(candidate, [good[: len(good) // 3]]),
        quick.record(candidate, [webm(2, codec="mpeg4", container="mp4", sound=False)]),
        quick.record(candidate, [good[:200] + b"\xff" * 5000]),
        quick.record(candidate, [b"#EXTM3U\nfile:///etc/passwd\n" * 50]),
        quick.events(candidate, "question_shown", "answer_started", "answer_ended"),
    ]
    assert candidate.finish(*epochs)[0] == 200
    report = story.wait_for_report(live.settings, candidate.recording)
    [row] = rows(live, recording, id=candidate.recording)
    media = recruiter.track(recruiter.open_view(candidate.recording))
    return Mangled(candidate.recording, report, row.gaps, media)


def unreadable(candidate: Candidate) -> Epoch:
    """An epoch whose pieces are under another key than the one in its opening."""
    epoch = candidate.epoch()
    epoch.writer = EpochWriter(epoch.writer.opening, new_key())
    epoch.bodies = [epoch.chunk(recorded(2.0)[0]), epoch.end(2000)]
    for body in epoch.bodies:
        assert candidate.put(epoch, body)[0] == 201
    return epoch


def test_what_cannot_be_opened_or_read_is_a_named_gap_and_the_rest_plays(mangled: Mangled) -> None:
    assert mangled.report.state == RecordingState.SEALED
    reasons = {gap[2] for gap in mangled.gaps}
    assert reasons >= {"not_opened", "unreadable", "unknown_codec"}
    assert measure.container_seconds(mangled.media) >= SECONDS - 0.2


def test_hostile_media_reached_no_file_of_the_server(mangled: Mangled) -> None:
    assert b"root:x:0:0" not in mangled.media
    assert b"EXTM3U" not in mangled.media


def test_the_page_of_a_mangled_recording_says_what_is_missing(mangled: Mangled, recruiter: Desk) -> None:
    page = recruiter.get(recruiter.open_view(mangled.recording)).text
    assert "<dt>Gaps</dt><dd>0</dd>" not in page
    assert "<video" in page


@pytest.fixture
def intake(tmp_path: Path) -> Iterator[tuple[IntakeSite, room.Server]]:
    """Intake alone, whose packets may say anything."""
    if not room.CHROMIUM.exists():
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    site = IntakeSite(tmp_path / "data")
    server = room.Server(create_app(site.settings))
    yield site, server
    server.stop()


def test_links_that_are_over_or_not_ours_say_what_to_do(
    intake: tuple[IntakeSite, room.Server], tmp_path: Path
) -> None:
    site, server = intake
    expired, its_secret = site.invite(deadline=datetime.now(UTC) - timedelta(days=1))
    finished, other_secret = site.invite()
    finish(server, Candidate(flask_call(server.app.test_client()), finished.recording, other_secret))
    forged, _ = site.invite()
    with browser(tmp_path / "profile") as context:
        page = context.pages[0]
        for packet, secret, words in (
            (expired, its_secret, "over"),
            (finished, other_secret, "finished"),
            (forged, "A" * 22, "not valid"),
        ):
            page.goto("about:blank")
            page.goto(link(server.url, packet.recording, secret))
            page.click("#begin:not([disabled])")
            room.at(page, "problem")
            assert words in page.inner_text("#problem-title"), packet
            assert len(page.inner_text("#problem-words")) > 20
            assert not page.is_visible("#problem-retry")


def finish(server: room.Server, candidate: Candidate) -> None:
    quick.begun(candidate)
    epoch = quick.record(candidate, [b"all of it"])
    assert candidate.finish(epoch)[0] == 200


def test_a_scanner_that_opens_the_mailed_link_and_runs_its_scripts_binds_nothing(
    live: Product, hired: Hired, relay: Relay, recruiter: Desk, tmp_path: Path
) -> None:
    candidate = quick.invited(recruiter, relay, hired.english, "scanned")
    with browser(tmp_path / "scanner") as context:
        page = context.pages[0]
        page.goto(relay.link_to("scanned@example.com"))
        page.wait_for_selector("#begin:not([disabled])")
        page.wait_for_timeout(500)
    status, answer = candidate.begin()
    assert (status, answer["state"]) == (200, "bound")
    kinds = [row.kind for row in rows(live, intake_record, attempt_id=candidate.recording)]
    assert "rebind_requested" not in kinds


def test_chunks_that_are_wrong_are_refused_with_words_and_the_right_ones_still_count(
    live: Product, hired: Hired, relay: Relay, recruiter: Desk
) -> None:
    candidate = quick.begun(quick.invited(recruiter, relay, hired.english, "clumsy"), analysis=False)
    epoch = candidate.epoch()
    first, second, third = (epoch.chunk(chunk) for chunk in recorded(6.0))
    opening = epoch.writer.opening.raw
    for piece, more, refusal in (
        (first, {"digest": content_digest(b"other")}, (422, "bad_digest")),
        ((0, 0, b""), {}, (422, "empty_chunk")),
        ((0, 0, opening), {}, (422, "empty_chunk")),
        ((0, 0, opening + bytes(17 << 19)), {}, (413, "chunk_too_large")),
        ((0, 0, b"no opening at all"), {}, (422, "bad_opening")),
    ):
        status, answer = candidate.put(epoch, piece, **more)
        assert (status, answer.get("code")) == refusal
        assert len(answer["message"]) > 10
    assert candidate.put(epoch, third)[0] == 201  # in any order
    assert candidate.put(epoch, first)[0] == 201
    assert candidate.put(epoch, first)[0] == 200  # twice is once
    epoch.end(6100)
    status, answer = candidate.finish(epoch)
    assert (status, answer["code"]) == (409, "chunks_missing")
    assert answer["missing"][0]["missing"] == [[1, 1]]
    assert candidate.put(epoch, second)[0] == 201
    assert candidate.put(epoch, epoch.bodies[-1])[0] == 201
    assert candidate.finish(epoch)[0] == 200
    report = story.wait_for_report(live.settings, candidate.recording)
    assert (report.state, report.gaps) == (RecordingState.SEALED, [])
    assert abs(report.duration_ms - 6000) <= 200
