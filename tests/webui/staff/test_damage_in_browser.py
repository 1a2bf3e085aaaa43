"""A damaged track in Chromium: the page says so and waits, and plays over the gap once it is repaired."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from playwright.sync_api import expect

from appliance.domain import Role
from appliance.tables import recording, track
from storage.vault import Vault
from tests.appliance.upkeep.test_repair import journals_gone
from tests.support.damage import STORED, flip_segments
from tests.support.desk import Desk, post
from tests.support.desk_browser import at_the_desk
from tests.support.room import CHROMIUM
from tests.webui.staff.test_replay_in_browser import passed

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed"),
]
SEEK = "(ms) => { document.querySelector('video').currentTime = ms / 1000; }"


@pytest.mark.long
def test_a_damaged_segment_costs_its_own_seconds_and_the_page_goes_on_by_itself(desk: Desk) -> None:
    made = desk.sealed(24.0, screen=False)
    journals_gone(desk.site, made)
    camera = Path(Vault(desk.settings.vault_folder).path(made, "track", "camera"))
    flip_segments(camera, camera.stat().st_size // STORED - 2)
    view = post(desk.client(Role.RECRUITER), f"/recordings/{made}/views").location
    with at_the_desk(desk) as browser:
        page = browser.window(Role.RECRUITER)
        page.goto(view)
        page.wait_for_selector("main[data-ready]")
        page.evaluate(SEEK, 14_000)
        held = page.locator(".banner[data-when=held]")
        expect(held).to_contain_text("only the damaged seconds will be missing", timeout=30_000)
        expect(held).to_contain_text("goes on by itself")
        assert desk.site.row(recording, made).problem is None
        assert desk.site.actions("recording", made).count("vault:damage") == 1
        worker = threading.Thread(target=desk.site.run_jobs)
        worker.start()
        expect(held).to_be_hidden(timeout=30_000)
        worker.join()
        row = desk.site.row(recording, made)
        [(start, end, reason, _)] = row.gaps
        assert (row.problem, reason) == (None, "damaged")
        assert [each.file for each in desk.site.rows(track, recording_id=made)] == ["camera.r1"]
        gap = page.locator('[data-lane="gaps"] .gap')
        expect(gap).to_have_count(1)
        page.wait_for_function("() => document.querySelector('video').readyState >= 2")
        page.evaluate(SEEK, max(0, start - 300))
        page.keyboard.press("k")
        expect(page.locator(".missing")).to_have_text("What was stored here is damaged")
        passed(page, end + 500)
        expect(page.locator(".missing")).to_have_text("")
        assert end - start < row.duration_ms / 2
        page.click("#tab-details")
        expect(page.locator("#panel-details")).to_contain_text("What was stored here is damaged")
        assert browser.problems == []
