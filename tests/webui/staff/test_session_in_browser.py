"""Signing out as a person does it, in Chromium: pressed once or, by a double click, twice."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from appliance.domain import Role
from tests.support.desk import Desk
from tests.support.desk_browser import at_the_desk
from tests.support.room import NEEDS_BROWSER

pytestmark = NEEDS_BROWSER


@pytest.mark.parametrize("clicks", [1, 2])
def test_whoever_signs_out_is_told_so(desk: Desk, clicks: int) -> None:
    with at_the_desk(desk) as browser:
        page = browser.window(Role.RECRUITER)
        page.goto("/")
        page.get_by_role("button", name="Sign out").click(click_count=clicks)
        expect(page.get_by_role("status")).to_have_text("You are signed out.")
        page.go_back()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        assert browser.problems == []
