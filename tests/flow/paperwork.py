"""What people keep beside a recording, told once: a résumé and its next version, a note and its change."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.flow.desk import browser, sign_in
from tests.flow.fixtures import Told
from tests.support import papers
from tests.support.product import Product

# Over what a form parser or a proxy would keep in memory by itself.
RESUME_BYTES = 3_000_000


@dataclass
class Kept:
    """What the recruiter kept about Anna: two résumés, each with a word of its own in it, a note as it was
    and as it is, and the profile of the browser in which all that was done."""

    resumes: list[bytes]
    words: list[str]
    note: str
    changed: str
    profile: Path


@pytest.fixture(scope="session")
def kept(live: Product, anna: Told, folder: Path) -> Kept:
    """The recruiter's work on Anna's page, by hand."""
    words = [secrets.token_urlsafe(48) for _ in range(2)]
    resumes = [papers.pdf(word.encode(), RESUME_BYTES) for word in words]
    note, changed = (f"{secrets.token_urlsafe(36)} 她先量再改" for _ in range(2))
    profile = folder / "paperwork"
    with browser(profile) as context:
        page = sign_in(context, live.sign_in_link())
        for number, data in enumerate(resumes):
            page.goto(f"{live.settings.staff_url}/attempts/{anna.recording}")
            page.set_input_files(
                "#f-resume", {"name": "cv.pdf", "mimeType": "application/pdf", "buffer": data}
            )
            page.click("#resume form[enctype] button")
            expect(page.get_by_text("The résumé is kept.")).to_be_visible(timeout=30_000)
            expect(page.locator("#resume details")).to_have_count(number)
        page.click("#notes-panel a")
        page.fill("#note-new", note)
        page.click("#note-keep-new")
        expect(page.locator(".note .text")).to_have_text(note)
        page.click(".note summary")
        page.fill(".note textarea", changed)
        page.click(".note form button")
        expect(page.locator(".note .text")).to_have_text(changed)
    return Kept(resumes, words, note, changed, profile)
