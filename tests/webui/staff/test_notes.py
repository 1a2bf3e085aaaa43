"""Notes on their own page and as the part beside the player: written, changed, refused, closed."""

from __future__ import annotations

import re
import uuid

import pytest
from flask.testing import FlaskClient

from appliance.audit.log import Action
from appliance.domain import Role
from appliance.stages.decide import notes
from tests.support.desk import Desk, post

TEXT = "她先量, 再改。\n<script>alert(1)</script> & so on"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def made(desk: Desk) -> uuid.UUID:
    return desk.sealed(4.0, screen=False, analysed=False)


def texts(page: str) -> list[str]:
    return re.findall(r'<p class="text">(.*?)</p>', page, re.DOTALL)


def own_note(browser: FlaskClient, made: uuid.UUID) -> str:
    """The path that changes the first note of one's own."""
    found = re.search(r'action="(/attempts/[^"]+/notes/[^"]+)"', browser.get(f"/attempts/{made}/notes").text)
    assert found is not None
    return found[1]


def test_a_note_is_kept_shown_to_the_letter_and_listed_without_its_words(desk: Desk, made: uuid.UUID) -> None:
    browser = desk.client(Role.RECRUITER)
    assert "Nobody has written a note yet." in browser.get(f"/attempts/{made}").text
    answer = post(browser, f"/attempts/{made}/notes", data={"text": TEXT})
    assert answer.status_code == 303
    page = browser.get(answer.location)
    assert page.headers["Cache-Control"] == "no-store"
    [shown] = texts(page.text)
    assert shown == "她先量, 再改。\n&lt;script&gt;alert(1)&lt;/script&gt; &amp; so on"
    listed = browser.get(f"/attempts/{made}").text
    assert "陈晓 Chen Xiao" in listed
    assert "她先量" not in listed


def test_each_showing_is_an_event(desk: Desk, made: uuid.UUID) -> None:
    browser = desk.client(Role.RECRUITER)
    browser.get(f"/attempts/{made}/notes")
    post(browser, f"/attempts/{made}/notes", data={"text": TEXT})
    browser.get(f"/attempts/{made}")
    browser.get(f"/attempts/{made}/notes")
    told = [action for action in desk.site.actions("recording", made) if action.startswith("note")]
    assert told == [Action.NOTE_KEEP, Action.NOTE_OPEN]


def test_only_its_author_is_offered_to_change_it(desk: Desk, made: uuid.UUID) -> None:
    author, other = desk.client(Role.RECRUITER), desk.client(Role.DEPARTMENT_HEAD)
    post(author, f"/attempts/{made}/notes", data={"text": TEXT})
    path = own_note(author, made)
    page = other.get(f"/attempts/{made}/notes").text
    assert len(texts(page)) == 1
    assert "Change this note" not in page
    assert post(other, path, data={"text": "mine now", "version": "1"}).status_code == 404
    assert post(author, path, data={"text": "changed", "version": "1"}).status_code == 303
    page = author.get(f"/attempts/{made}/notes").text
    assert texts(page) == ["changed"]
    assert "changed <time" in page


@pytest.mark.parametrize("text", ["  ", "x" * (notes.MAX_TEXT + 1)])
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "part"])
def test_a_refused_text_stays_in_its_field_with_the_reason(
    desk: Desk, made: uuid.UUID, text: str, headers: dict[str, str]
) -> None:
    answer = post(
        desk.client(Role.RECRUITER), f"/attempts/{made}/notes", data={"text": text}, headers=headers
    )
    assert answer.status_code == 422
    assert f">\n{text}</textarea>" in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert ("The note was not kept; your text is still here." in answer.text) is bool(text.strip())
    assert answer.headers.get("HX-Retarget") == ("#note-form-new" if headers else None)


def test_a_change_to_an_older_text_is_told_and_kept_in_its_field(desk: Desk, made: uuid.UUID) -> None:
    browser = desk.client(Role.RECRUITER)
    post(browser, f"/attempts/{made}/notes", data={"text": "first"})
    path = own_note(browser, made)
    assert post(browser, path, data={"text": "second", "version": "1"}).status_code == 303
    for version in ("1", "", "x", "-1"):
        answer = post(browser, path, data={"text": "also mine", "version": version})
        assert answer.status_code == 409
        assert "changed in another window" in answer.text
        assert "also mine</textarea>" in answer.text
        assert texts(answer.text) == ["second"]


def test_locked_they_stay_closed_and_a_text_is_not_lost(desk: Desk, made: uuid.UUID) -> None:
    browser = desk.client(Role.RECRUITER)
    post(browser, f"/attempts/{made}/notes", data={"text": "first"})
    desk.keyholder.lock()
    page = browser.get(f"/attempts/{made}/notes")
    assert page.status_code == 503
    assert "The vault is locked." in page.text
    assert "陈晓 Chen Xiao" in page.text
    assert texts(page.text) == []
    assert "<textarea" not in page.text
    answer = post(browser, f"/attempts/{made}/notes", data={"text": "typed before it was locked"})
    assert answer.status_code == 503
    assert "typed before it was locked</textarea>" in answer.text
    assert (
        "Notes can be read and written once the vault is unlocked." in browser.get(f"/attempts/{made}").text
    )


def test_before_the_seal_there_is_no_field(desk: Desk) -> None:
    [made] = desk.site.invite("ming")
    browser = desk.client(Role.RECRUITER)
    page = browser.get(f"/attempts/{made}/notes")
    assert page.status_code == 200
    assert "Notes can be written once the recording is sealed." in page.text
    assert "<textarea" not in page.text
    assert "notes-panel" not in browser.get(f"/attempts/{made}").text
    assert post(browser, f"/attempts/{made}/notes", data={"text": "x"}).status_code == 409
