"""The position form in Chromium: what is wrong with the weights is said until they total 100."""

from __future__ import annotations

from playwright.sync_api import expect

from appliance.domain import Role
from tests.support.desk import Desk
from tests.support.desk_browser import at_the_desk
from tests.support.room import NEEDS_BROWSER

pytestmark = NEEDS_BROWSER


def test_wrong_weights_are_told_at_their_fields_until_they_are_right(desk: Desk) -> None:
    with at_the_desk(desk) as browser:
        page = browser.window(Role.RECRUITER)
        page.goto("/positions/new")
        page.get_by_label("Title").fill("Data engineer")
        page.get_by_label("What is asked").fill("What are you proud of?")
        page.locator("[name=competency_name]").fill("Judgement")
        weight = page.get_by_label("Weight (%)")
        weight.fill("30")
        page.get_by_role("button", name="Save position").click()
        page.get_by_role("alert").get_by_role("link", name="The weights total 30 %").click()
        expect(weight).to_be_focused()
        expect(weight).to_have_accessible_description("The weights must total 100 %.")
        expect(weight).to_have_attribute("aria-invalid", "true")
        weight.fill("100")
        expect(page.get_by_text("The weights must total 100 %.")).to_be_hidden()
        expect(weight).not_to_have_attribute("aria-invalid", "true")
        page.get_by_role("button", name="Save position").click()
        expect(page.get_by_role("status")).to_have_text("The position is saved.")
        assert browser.problems == []
