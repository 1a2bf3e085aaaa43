"""A candidate's résumé on the interview's page: attached, replaced, opened as a download, refused."""

from __future__ import annotations

import io
import re
import uuid
from urllib.parse import unquote

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from appliance.audit.log import Action
from appliance.database import transaction
from appliance.domain import Role
from appliance.tables import attempt, candidate
from tests.support import papers
from tests.support.desk import Desk, post

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@pytest.fixture
def made(desk: Desk) -> uuid.UUID:
    [invited] = desk.site.invite("ming")
    person = desk.site.row(attempt, invited).candidate_id
    with transaction("staff", desk.settings) as tx:
        tx.execute(update(candidate).where(candidate.c.id == person).values(name='王小明 "x" / Wang'))
    return invited


def attach(
    browser: FlaskClient, made: uuid.UUID, data: bytes, name: str = "private-name.pdf"
) -> TestResponse:
    form = {"resume": (io.BytesIO(data), name, "application/x-lie")}
    return post(browser, f"/attempts/{made}/resume", data=form, content_type="multipart/form-data")


def test_it_is_attached_shown_and_given_back_as_a_download(desk: Desk, made: uuid.UUID) -> None:
    browser = desk.client(Role.RECRUITER)
    assert "No résumé is attached." in browser.get(f"/attempts/{made}").text
    data = papers.docx(padding=700_000)
    answer = attach(browser, made, data)
    assert answer.status_code == 303
    page = browser.get(answer.location)
    assert "The résumé is kept." in page.text
    assert "DOCX" in page.text
    opened = post(browser, f"/attempts/{made}/resume/1/open")
    assert (opened.status_code, opened.data) == (200, data)
    assert opened.headers["Content-Type"] == DOCX
    assert opened.headers["Cache-Control"] == "no-store"
    assert opened.headers["X-Content-Type-Options"] == "nosniff"
    disposition = opened.headers["Content-Disposition"]
    assert disposition.startswith("attachment; filename=resume.docx; ")
    assert unquote(disposition.partition("''")[2]) == "Résumé of 王小明 x Wang.docx"
    person = desk.site.row(attempt, made).candidate_id
    assert desk.site.actions("candidate", person) == [Action.RESUME_KEEP, Action.RESUME_OPEN]


def test_the_files_name_is_kept_nowhere(desk: Desk, made: uuid.UUID) -> None:
    browser = desk.client(Role.RECRUITER)
    attach(browser, made, papers.PDF)
    assert "private-name" not in browser.get(f"/attempts/{made}").text
    for path in desk.settings.data.rglob("*"):
        assert "private-name" not in path.name
        if path.is_file():
            assert b"private-name" not in path.read_bytes(), path


def test_earlier_versions_can_still_be_opened(desk: Desk, made: uuid.UUID) -> None:
    browser = desk.client(Role.RECRUITER)
    for text in (b"first", b"second", b"third"):
        attach(browser, made, papers.pdf(text))
    page = browser.get(f"/attempts/{made}").text
    assert "2 earlier versions" in page
    assert re.findall(r"/resume/(\d)/open", page) == ["3", "2", "1"]
    assert b"first" in post(browser, f"/attempts/{made}/resume/1/open").data


@pytest.mark.parametrize(
    ("data", "status", "told"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(50), 422, "neither a PDF"),
        (b"", 422, "The file is empty."),
        (papers.pdf(size=10_000_001), 422, "over 10 MB"),
        (papers.pdf(size=10_200_000), 413, "larger than the limit of 10.0 MB"),
    ],
    ids=["picture", "empty", "a little too large", "too large to be read"],
)
def test_what_cannot_be_kept_is_said_beside_the_field(
    desk: Desk, made: uuid.UUID, data: bytes, status: int, told: str
) -> None:
    answer = attach(desk.client(Role.RECRUITER), made, data)
    assert answer.status_code == status
    field = re.search(r'<input id="f-resume"(.*?)</div>', answer.text, re.DOTALL)
    assert field is not None
    assert 'aria-invalid="true"' in field[1]
    assert told in field[1]
    assert "The file was not kept." in field[1]
    assert "No résumé is attached." in answer.text


def test_locked_the_page_says_so_before_a_file_is_chosen(desk: Desk, made: uuid.UUID) -> None:
    browser = desk.client(Role.RECRUITER)
    attach(browser, made, papers.PDF)
    desk.keyholder.lock()
    page = browser.get(f"/attempts/{made}").text
    assert "The vault is locked." in page
    assert "nothing would be kept now" in page
    assert 'type="file"' not in page
    refused = attach(browser, made, papers.PDF)  # the page was opened before
    assert refused.status_code == 503
    assert "The file was not kept." in refused.text
    assert post(browser, f"/attempts/{made}/resume/1/open").status_code == 503
    person = desk.site.row(attempt, made).candidate_id
    assert desk.site.actions("candidate", person) == [Action.RESUME_KEEP]


def test_a_department_head_opens_and_cannot_attach(desk: Desk, made: uuid.UUID) -> None:
    attach(desk.client(Role.RECRUITER), made, papers.PDF)
    head = desk.client(Role.DEPARTMENT_HEAD)
    page = head.get(f"/attempts/{made}").text
    assert "Open the résumé" in page
    assert 'type="file"' not in page
    assert post(head, f"/attempts/{made}/resume/1/open").data == papers.PDF
    assert attach(head, made, papers.PDF).status_code == 404


def test_a_form_from_elsewhere_attaches_and_opens_nothing(desk: Desk, made: uuid.UUID) -> None:
    browser = desk.client(Role.RECRUITER)
    attach(browser, made, papers.PDF)
    cross = {"Sec-Fetch-Site": "cross-site"}
    for path in (f"/attempts/{made}/resume", f"/attempts/{made}/resume/1/open"):
        assert browser.post(path, headers=cross).status_code == 403
        assert browser.get(path).status_code == 405


def test_nobody_else_may_send_files(desk: Desk, made: uuid.UUID) -> None:
    browser = desk.client(Role.RECRUITER)
    for path in (f"/attempts/{made}/notes", "/positions", "/sign-in", "/nowhere"):
        form = {"text": (io.BytesIO(b"x"), "x.txt")}
        answer = post(browser, path, data=form, content_type="multipart/form-data")
        assert answer.status_code == 415, path
