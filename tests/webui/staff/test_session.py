"""Signing in by link and by password, and what cross-site pages can do: nothing."""

from __future__ import annotations

import uuid

from appliance.audit.log import Action, Actor
from appliance.database import transaction
from appliance.domain import Role
from appliance.people import accounts, sessions
from tests.support import factory
from tests.support.desk import Desk, post


def link(desk: Desk) -> str:
    with transaction("staff", desk.settings) as tx:
        return sessions.issue_link(tx, desk.people[Role.RECRUITER].account_id, Actor.unit("cli"))


def test_opening_a_link_uses_nothing_up_and_pressing_its_button_signs_in_once(desk: Desk) -> None:
    path = f"/sign-in/{link(desk)}"
    browser = desk.client()
    for _ in range(3):
        assert browser.get(path).status_code == 200
    assert browser.get("/").status_code == 303
    assert post(browser, path).status_code == 303
    assert browser.get("/").status_code == 200
    other = desk.client()
    refused = post(other, path)
    assert refused.status_code == 401
    assert "Ask for a new one" in refused.text


def test_a_password_signs_in_and_goes_on_to_the_page_that_was_wanted(desk: Desk) -> None:
    with transaction("staff", desk.settings) as tx:
        who = desk.people[Role.RECRUITER]
        accounts.set_password(tx, Actor.unit("cli"), who.account_id, "correct horse battery")
    browser = desk.client()
    asked = browser.get("/candidates?state=finished")
    assert asked.location == "/sign-in?next=/candidates?state%3Dfinished"
    form = {"username": "Recruiter", "password": "wrong", "next": "/candidates"}
    wrong = post(browser, "/sign-in", data=form)
    assert (wrong.status_code, 'value="Recruiter"' in wrong.text) == (401, True)
    right = post(browser, "/sign-in", data=form | {"password": "correct horse battery"})
    assert (right.status_code, right.location) == (303, "/candidates")


def test_next_never_leaves_the_site(desk: Desk) -> None:
    for elsewhere in (
        "https://evil.test/",
        "//evil.test/",
        "/\\evil.test",
        "/\t/evil.test",
        "/\r/evil.test",
        "\t//evil.test",
        "/a\\b",
        "/\x7f/evil.test",
    ):
        browser = desk.client()
        answer = post(browser, f"/sign-in/{link(desk)}", data={"next": elsewhere})
        assert answer.location == "/?hint=password"


def test_a_change_from_another_site_is_refused(desk: Desk) -> None:
    browser = desk.client(Role.SECURITY_ADMIN)
    form = {"username": "mallory", "display_name": "M", "role": "recruiter"}
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.test"},
        {"Origin": "null"},
        {},
    ):
        assert browser.post("/accounts", data=form, headers=headers).status_code == 403
    with transaction("staff", desk.settings) as tx:
        assert "mallory" not in {row.username for row in accounts.list_all(tx)}
    assert browser.post("/accounts", data=form, headers={"Origin": "http://localhost"}).status_code == 200


def test_signing_out_ends_the_session_at_the_server(desk: Desk) -> None:
    token = desk.token(Role.RECRUITER)
    browser = desk.client()
    browser.set_cookie("fupan", token)
    assert browser.get("/").status_code == 200
    assert post(browser, "/sign-out").status_code == 303
    again = desk.client()
    again.set_cookie("fupan", token)
    assert again.get("/").status_code == 303


def test_signing_out_twice_or_after_the_session_has_ended_says_the_same(desk: Desk) -> None:
    token = desk.token(Role.RECRUITER)
    for cookie in (token, token, "unknown", None):
        browser = desk.client()
        if cookie is not None:
            browser.set_cookie("fupan", cookie)
        answer = post(browser, "/sign-out")
        assert answer.status_code == 303
        assert "You are signed out." in browser.get(answer.location).text


def test_the_cookie_is_out_of_reach(desk: Desk) -> None:
    answer = post(desk.client(), f"/sign-in/{link(desk)}")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_a_refused_object_is_on_the_log_whether_it_exists_or_not(desk: Desk) -> None:
    elsewhere = factory.make_department(desk.settings)
    theirs = factory.make_attempt(desk.settings, elsewhere, factory.make_position(desk.settings, elsewhere))
    browser = desk.client(Role.DEPARTMENT_HEAD)
    answers = set()
    for asked in (theirs, uuid.uuid4()):
        answer = post(browser, f"/recordings/{asked}/views")
        answers.add((answer.status_code, "not yours to see" in answer.text))
        assert desk.site.actions("recording", asked) == [Action.ACCESS_DENIED]
    assert answers == {(404, True)}
