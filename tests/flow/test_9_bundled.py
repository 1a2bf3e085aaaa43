"""The same product on the PostgreSQL it brings along: a first start for a stranger, and a shorter story."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path

from playwright.sync_api import expect
from sqlalchemy import select, text

from appliance.database import transaction
from appliance.tables import attempt, candidate
from tests.flow import measure
from tests.flow.desk import Desk, browser, sign_in
from tests.flow.pressure import Waiting, room_for
from tests.support import fake_camera, product, story
from tests.support.product import Product
from tests.support.web import Client

DEMO = json.loads((fake_camera.DEMO_CLIP.parent / "interview.json").read_text())


def demo_recording(site: Product) -> uuid.UUID:
    with transaction("staff", site.settings) as tx:
        found = tx.scalar(
            select(attempt.c.id)
            .join(candidate, candidate.c.id == attempt.c.candidate_id)
            .where(candidate.c.email == "demo.candidate@fupan.example")
        )
    assert found is not None
    return found


def test_it_says_where_to_go_and_that_one_user_runs_it(embedded: Product) -> None:
    assert embedded.printed("Staff") == f"http://localhost:{embedded.port}"
    assert embedded.printed("Candidates") == f"http://127.0.0.1:{embedded.port + 1}"
    assert "/sign-in/" in embedded.printed("Sign in")
    assert "/i/" in embedded.printed("Be recorded")
    assert "share one Unix user" in embedded.printed("Embedded")
    assert Client(embedded.printed("Staff")).ask("GET", "/healthz").json == {"ok": True}
    with transaction("staff", embedded.settings) as tx:
        assert int(tx.scalar(text("SHOW server_version_num")) or 0) >= 160000


def test_the_demo_is_ready_to_replay(embedded: Product, tmp_path: Path) -> None:
    recording = demo_recording(embedded)
    report = story.wait_for_report(embedded.settings, recording)
    assert (report.state, report.gaps) == ("sealed", [])
    assert abs(report.duration_ms - DEMO["duration_ms"]) <= 200
    with browser(tmp_path / "staff") as context:
        page = sign_in(context, embedded.sign_in_link())
        first_frame = story.open_replay(page, embedded.settings, recording)
        print(f"first frame after {first_frame:.0f} ms")
        story.plays(page)
        if report.analysis == "done":
            assert "complaints fell by half" in story.transcript(page)


def test_one_can_record_oneself_with_the_printed_link(
    embedded: Product, tmp_path: Path, person: Path
) -> None:
    fed = fake_camera.make(tmp_path, person)
    waiting = Waiting()
    with browser(tmp_path / "candidate", *fed.arguments) as context:
        recorded = story.record(context, embedded.printed("Be recorded"), 5)
    waited = waiting.share
    report = story.wait_for_report(embedded.settings, recorded.recording)
    assert report.state == "sealed"
    desk = Desk(embedded, "recruiter")
    kept = desk.track(desk.open_view(recorded.recording))
    assert measure.furthest_apart(kept, recorded.media) <= 1.0
    assert abs(report.duration_ms / 1000 - measure.container_seconds(kept)) <= 0.2
    assert abs(report.duration_ms / 1000 - recorded.seconds) <= room_for(0.2, waited)
    assert "the chain is whole" in embedded.command("audit", "verify")
    assert "no damage found" in embedded.command("vault", "check", "--full")


def test_an_opened_link_is_not_used_up_by_looking(embedded: Product, tmp_path: Path) -> None:
    link = embedded.sign_in_link("auditor")
    with browser(tmp_path / "profile") as context:
        page = context.pages[0]
        page.goto(link)
        page.goto("about:blank")
        page = sign_in(context, link)
        assert page.url.startswith(embedded.settings.staff_url)
        page.goto(link)
        page.click("main form button")
        expect(page.locator("[role=alert]")).to_be_visible()


def test_what_was_recorded_survives_a_stop_and_the_next_start(embedded: Product) -> None:
    recording = demo_recording(embedded)
    story.wait_for_report(embedded.settings, recording)
    before = Desk(embedded, "recruiter")
    kept = before.track(before.open_view(recording))
    assert embedded.stop() == 0
    started = time.monotonic()
    again = product.start(embedded.data, port=embedded.port, demo=True, language="en")
    print(f"second start after {time.monotonic() - started:.1f} s")
    embedded.process, embedded.output = again.process, again.output
    after = Desk(embedded, "recruiter")
    assert after.track(after.open_view(recording)) == kept
