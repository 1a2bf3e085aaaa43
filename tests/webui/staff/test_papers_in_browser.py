"""Notes and résumé in Chromium, by hand and keyboard: beside the player and on the interview's page."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from appliance.audit.log import Action
from appliance.domain import Role
from tests.support import papers
from tests.support.desk import Desk, post
from tests.support.desk_browser import at_the_desk
from tests.support.room import NEEDS_BROWSER

pytestmark = NEEDS_BROWSER

TEXT = "jkl 123 ? / 她先量,再改。"  # each of these keys moves the player elsewhere


def test_a_note_is_written_beside_the_player_by_keyboard_alone(desk: Desk) -> None:
    made = desk.sealed()
    view = post(desk.client(Role.RECRUITER), f"/recordings/{made}/views").location
    with at_the_desk(desk) as browser:
        page = browser.replay(view)
        page.focus("#tab-transcript")
        for _ in range(2):
            page.keyboard.press("ArrowRight")
        expect(page.get_by_role("tab", name="Notes")).to_have_attribute("aria-selected", "true")
        expect(page.locator("#notes")).to_contain_text("Nobody has written a note yet.")
        expect(page.locator(".htmx-settling")).to_have_count(0)  # until then the form leads to its own page
        page.keyboard.press("Tab")
        expect(page.locator("#note-new")).to_be_focused()
        page.keyboard.insert_text("   ")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        field = page.locator("#note-new")
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(page.locator("#note-new-about")).to_contain_text("Write the note before you keep it.")
        field.focus()
        page.keyboard.press("Control+A")
        page.keyboard.type(TEXT)
        assert page.evaluate("document.querySelector('video').currentTime") == 0
        assert page.evaluate("document.querySelector('video').paused")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator("#notes .note .text")).to_have_text(TEXT)
        expect(page.locator("#notes").get_by_role("status")).to_have_text("The note is kept.")
        expect(page.locator("#note-keep-new")).to_be_focused()
        expect(page.locator("#note-new")).to_have_value("")
        assert browser.problems == []
    told = [action for action in desk.site.actions("recording", made) if action.startswith("note")]
    assert told == [Action.NOTE_KEEP, Action.NOTE_OPEN]


def test_locked_meanwhile_a_note_stays_in_its_field(desk: Desk) -> None:
    made = desk.sealed()
    view = post(desk.client(Role.RECRUITER), f"/recordings/{made}/views").location
    with at_the_desk(desk) as browser:
        page = browser.replay(view)
        page.get_by_role("tab", name="Notes").click()
        expect(page.locator("#note-new")).to_be_visible()
        expect(page.locator(".htmx-settling")).to_have_count(0)
        page.locator("#note-new").fill(TEXT)
        desk.keyholder.lock()
        page.get_by_role("button", name="Keep the note").click()
        expect(page.locator("#note-new-about")).to_contain_text("your text is still here")
        expect(page.locator("#note-new")).to_have_value(TEXT)
        assert browser.problems == []


def test_a_resume_is_attached_and_comes_back_and_a_large_one_is_never_sent(
    desk: Desk, tmp_path: Path
) -> None:
    [made] = desk.site.invite("ming")
    good, large = tmp_path / "lebenslauf.docx", tmp_path / "large.pdf"
    good.write_bytes(papers.docx(padding=900_000))
    large.write_bytes(papers.pdf(size=10_000_001))
    with at_the_desk(desk) as browser:
        page = browser.window(Role.RECRUITER, width=360)
        page.goto(f"/attempts/{made}")
        field = page.get_by_label("Attach a file")
        field.set_input_files(large)
        page.get_by_role("button", name="Attach the résumé").click()
        said = page.evaluate("document.querySelector('#f-resume').validationMessage")
        assert said == "The file is over 10 MB. Choose a smaller one."
        assert desk.site.actions("attempt", made) == [Action.INVITE_CREATE]
        field.set_input_files(good)
        page.get_by_role("button", name="Attach the résumé").click()
        expect(page.get_by_role("status")).to_have_text("The résumé is kept.")
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Open the résumé").click()
        saved = tmp_path / "saved"
        waiting.value.save_as(saved)
        assert waiting.value.suggested_filename == "Résumé of ming.docx"
        assert saved.read_bytes() == good.read_bytes()
        assert browser.problems == []
