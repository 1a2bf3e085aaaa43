"""The pages of erasing: who sees and does what, what they say, and that what is gone is said to be gone."""

from __future__ import annotations

import json
import uuid

import pytest
from sqlalchemy import select

from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import Role
from appliance.keyholder.client import Keyholder
from appliance.keyholder.server import Server
from appliance.stages.erase import holds
from appliance.tables import erasure, legal_hold
from tests.support import erasure as support
from tests.support.desk import SAME_ORIGIN, Desk, post
from tests.webui.test_language import english_left


@pytest.fixture
def desk(settings: Settings, server: Server) -> Desk:
    return Desk(settings, Keyholder(settings))


def marked(desk: Desk, made: uuid.UUID, **changes: str) -> uuid.UUID:
    """Mark at the page; the mark."""
    form = {"what": "person", "basis": "request", "case": "DSR-2026/7", **changes}
    answer = post(desk.client(Role.RECRUITER, "en"), f"/attempts/{made}/erase", data=form)
    assert answer.status_code == 303, answer.text
    return uuid.UUID(answer.location.split("?")[0].rsplit("/", 1)[1])


def test_from_the_mark_to_the_certificate(desk: Desk, server: Server) -> None:
    site, made = desk.site, support.recorded(desk.site)
    recruiter = desk.client(Role.RECRUITER, "en")
    view = post(recruiter, f"/recordings/{made}/views").location
    assert f"/attempts/{made}/erase" in recruiter.get(f"/attempts/{made}").text
    form = recruiter.get(f"/attempts/{made}/erase").text
    for told in ("Erase ming", "Until 7 days have passed", str(made), "flash disk (SSD)", "copies on write"):
        assert told in form
    mark = marked(desk, made)
    assert "Will be erased" in recruiter.get(f"/erasures/{mark}").text
    assert "Marked for erasure; its time is over" in recruiter.get(f"/attempts/{made}").text
    assert recruiter.get(f"/erasures/{mark}/certificate").status_code == 404
    support.days_pass(server, 8)
    assert support.carry_out(site) == 1
    for language in ("en", "zh"):
        client = desk.client(Role.RECRUITER, language)
        for path in (f"/attempts/{made}", "/erasures", f"/erasures/{mark}", f"/erasures/{mark}/certificate"):
            answer = client.get(path)
            assert answer.status_code == 200
            assert "ming" not in answer.text.replace("coming", "")
            if language == "zh":
                told = [desk.people[each].display_name for each in desk.people]
                told += [*(each.value for each in desk.people), site.settings.site, "Department"]
                assert english_left(answer.text, *told, "DSR-2026/7", "python3 verify_certificate.py") == []
    page = recruiter.get(f"/erasures/{mark}/certificate").text
    assert str(made) in page
    assert "7 daily key backups" in page or "keeps no key backups" in page
    assert "This interview was erased." in recruiter.get(f"/attempts/{made}").text
    over = recruiter.get(view)
    assert (over.status_code, "This was erased" in over.text, "views" in over.text) == (410, True, False)
    again = post(recruiter, f"/recordings/{made}/views", headers={"Accept": "text/html"})
    assert (again.status_code, "This was erased" in again.text) == (410, True)
    for path in (f"{view}/tracks/camera", f"{view}/documents/transcript.json"):
        assert recruiter.get(path).status_code in (404, 410)
    for path, data in ((f"/attempts/{made}/notes", {"text": "late"}),):
        assert post(recruiter, path, data=data).status_code in (409, 410)
    file = recruiter.get(f"/erasures/{mark}/certificate.json")
    assert file.headers["Content-Disposition"].startswith("attachment")
    assert json.loads(json.loads(file.data)["statement"])["mark"] == str(mark)


def test_no_page_of_somebody_erased_is_an_error(desk: Desk, server: Server) -> None:
    made = support.recorded(desk.site)
    view = post(desk.client(Role.RECRUITER), f"/recordings/{made}/views").location.rsplit("/", 1)[1]
    mark = marked(desk, made)
    support.days_pass(server, 8)
    assert support.carry_out(desk.site) == 1
    page = desk.client(Role.RECRUITER).get(f"/attempts/{made}").get_data(as_text=True)
    assert "Erased: its key was destroyed" in page
    known = {"attempt_id": made, "recording_id": made, "view_id": view, "mark_id": mark, "note_id": made}
    known |= {"account_id": desk.people[Role.INTERVIEWER].account_id, "version": 1, "name": "camera"}
    asked = 0
    for rule in desk.app.url_map.iter_rules():
        if not {"attempt_id", "recording_id", "view_id", "mark_id"} & set(rule.arguments):
            continue
        with desk.app.test_request_context():
            path = rule.build({name: known[name] for name in rule.arguments})[1]
        for method in set(rule.methods or ()) & {"GET", "POST"}:
            for role in (Role.RECRUITER, Role.AUDITOR):
                answer = desk.client(role).open(path, method=method, headers=SAME_ORIGIN)
                assert answer.status_code in (200, 303, 404, 409, 410, 415, 422), (method, path)
                asked += 1
    assert asked > 40


def test_a_refused_form_says_why_at_its_field_and_keeps_what_was_typed(desk: Desk) -> None:
    [made] = desk.site.invite("ming")
    client = desk.client(Role.RECRUITER, "en")
    for form, told in (
        ({"what": "interview", "basis": ""}, "Choose why it is erased."),
        (
            {"what": "interview", "basis": "request", "case": "王小明"},
            "A case reference has at most",
        ),
    ):
        answer = post(client, f"/attempts/{made}/erase", data=form)
        assert (answer.status_code, told in answer.text) == (422, True)
        assert 'value="interview" checked' in answer.text
    assert support.marks_of(desk.site) == {}
    marked(desk, made)
    answer = post(client, f"/attempts/{made}/erase", data={"basis": "request"})
    assert (answer.status_code, "marked for erasure already" in answer.text) == (409, True)


def test_withdrawing(desk: Desk) -> None:
    [made] = desk.site.invite("ming")
    mark = marked(desk, made)
    head = desk.client(Role.DEPARTMENT_HEAD, "en")
    assert "Withdraw the mark" in head.get(f"/erasures/{mark}").text
    assert post(head, f"/erasures/{mark}/withdraw").status_code == 303
    late = post(head, f"/erasures/{mark}/withdraw")
    assert (late.status_code, "withdrawn before" in late.text) == (409, True)
    assert support.marks_of(desk.site) == {mark: "withdrawn"}


def test_holds_are_the_security_administrators_and_name_nobody(desk: Desk) -> None:
    [made] = desk.site.invite("xiaoming")
    mark = marked(desk, made, what="interview")
    officer = desk.client(Role.SECURITY_ADMIN, "en")
    for client in (officer, desk.client(Role.AUDITOR, "en")):
        for path in ("/erasures", f"/erasures/{mark}"):
            answer = client.get(path)
            assert (answer.status_code, "xiaoming" in answer.text) == (200, False)
            assert "DSR-2026/7" in answer.text
    assert f"number={made}" in officer.get(f"/erasures/{mark}").text
    wrong = post(officer, "/holds", data={"number": "xiaoming", "reason": "dispute"})
    assert (wrong.status_code, "no candidate and no interview with this number" in wrong.text) == (422, True)
    assert post(officer, "/holds", data={"number": str(made), "reason": "dispute"}).status_code == 303
    with transaction("staff", desk.settings) as tx:
        hold = tx.scalar(select(legal_hold.c.id))
        assert tx.scalar(select(erasure.c.state)) == "marked"
    for role in (Role.RECRUITER, Role.SECURITY_ADMIN, Role.AUDITOR):
        assert "Kept by a legal hold" in desk.client(role, "en").get(f"/erasures/{mark}").text
    assert post(desk.client(Role.RECRUITER, "en"), f"/holds/{hold}/lift").status_code == 404
    assert post(officer, f"/holds/{hold}/lift").status_code == 303
    assert post(officer, f"/holds/{hold}/lift").status_code == 409


def test_a_page_says_erased_of_the_erasure_that_took_it_and_not_of_one_that_a_hold_kept_it_from(
    desk: Desk, server: Server
) -> None:
    made = support.recorded(desk.site, resume_too=False)
    officer, hold = support.hold(desk.site, made)
    kept_by = support.mark(desk.site, made, whole=True)
    support.days_pass(server, 8)
    support.carry_out(desk.site)
    page = f"/attempts/{made}"
    client = desk.client(Role.RECRUITER, "en")
    told = client.get(page).text
    assert ("This interview was erased." in told, "a legal hold kept this interview" in told) == (False, True)
    with transaction("staff", desk.settings) as tx:
        holds.lift(tx, officer, hold)
    taken_by = support.mark(desk.site, made, whole=True)
    support.days_pass(server, 20)
    support.carry_out(desk.site)
    assert support.marks_of(desk.site) == {kept_by: "erased", taken_by: "erased"}
    told = client.get(page).text
    assert told.count("This interview was erased.") == 1
    assert told.count("a legal hold kept this interview") == 1
    assert told.count("Erased: its key was destroyed") == 1


def test_another_departments_marks_are_not_there(desk: Desk) -> None:
    from tests.support import factory

    [made] = desk.site.invite("ming")
    mark = marked(desk, made)
    other = factory.make_department(desk.settings)
    stranger = factory.make_user(desk.settings, Role.DEPARTMENT_HEAD, other)
    desk.people[Role.DEPARTMENT_HEAD] = stranger
    client = desk.client(Role.DEPARTMENT_HEAD, "en")
    assert str(mark) not in client.get("/erasures").text
    for path in (f"/erasures/{mark}", f"/erasures/{mark}/certificate.json"):
        assert client.get(path).status_code == 404
    assert post(client, f"/erasures/{mark}/withdraw").status_code == 404
