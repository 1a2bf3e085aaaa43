"""A first start leaves a product that a stranger can use at once."""

from __future__ import annotations

import json
import urllib.request

from playwright.sync_api import Playwright, expect
from sqlalchemy import select

from appliance import database
from appliance.tables import attempt, candidate
from tests.support import fake_camera, room, story
from tests.support.product import Product

DEMO = json.loads((fake_camera.DEMO_CLIP.parent / "interview.json").read_text())


def test_it_says_where_to_go_and_shares_one_user(product: Product) -> None:
    assert product.printed("Staff") == f"http://localhost:{product.port}"
    assert product.printed("Candidates") == f"http://127.0.0.1:{product.port + 1}"
    assert "/sign-in/" in product.printed("Sign in")
    assert "/i/" in product.printed("Be recorded")
    assert "share one Unix user" in product.printed("Embedded")
    with urllib.request.urlopen(f"{product.printed('Staff')}/healthz", timeout=10) as answer:
        assert json.loads(answer.read()) == {"ok": True}


def test_the_demo_is_ready_to_replay(product: Product, playwright: Playwright, tmp_path) -> None:
    settings = product.settings
    with database.transaction("staff", settings) as tx:
        recording_id = tx.scalar(
            select(attempt.c.id)
            .join(candidate, candidate.c.id == attempt.c.candidate_id)
            .where(candidate.c.email == "demo.candidate@fupan.example")
        )
    report = story.wait_for_report(settings, recording_id)
    assert report.state == "sealed"
    assert report.gaps == []
    assert abs(report.duration_ms - DEMO["duration_ms"]) <= 200
    with room.chromium(playwright, tmp_path / "profile", locale="en-GB") as browser:
        page = story.sign_in(browser, product.sign_in_link())
        story.open_replay(page, settings, recording_id)
        expect(page.locator("video").first).to_be_visible()
        story.plays(page)
        if report.analysis == "done":
            said = story.transcript(page)
            assert "complaints fell by half" in said


def test_a_sign_in_link_works_once(product: Product, playwright: Playwright, tmp_path) -> None:
    link = product.sign_in_link("auditor")
    with room.chromium(playwright, tmp_path / "one", locale="en-GB") as browser:
        page = story.sign_in(browser, link)
        assert "/sign-in" not in page.url
    with room.chromium(playwright, tmp_path / "two", locale="en-GB") as browser:
        page = browser.new_page()
        page.goto(link)
        if page.locator("main form button").count():
            page.click("main form button")
        expect(page.locator("[role=alert]")).to_be_visible()
