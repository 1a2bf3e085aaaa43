"""A person's own account: a password instead of links, proven before it is changed."""

from __future__ import annotations

import json
import re

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from appliance.audit.log import Actor
from appliance.database import transaction
from appliance.domain import Role, User
from appliance.errors import UnauthenticatedError
from appliance.people import accounts, sessions
from appliance.tables import audit_event
from tests.support.desk import Desk, post

FIRST, SECOND = "correct horse battery", "正确的马 电池 staple"
ADDRESS = "127.0.0.1"


def link(desk: Desk, role: Role = Role.RECRUITER) -> str:
    with transaction("staff", desk.settings) as tx:
        return "/sign-in/" + sessions.issue_link(tx, desk.people[role].account_id, Actor.unit("cli"))


def fill(browser: FlaskClient, password: str, again: str | None = None, current: str = "") -> TestResponse:
    form = {"current": current, "password": password, "again": password if again is None else again}
    return post(browser, "/account", data=form)


def sign_in(desk: Desk, password: str, username: str = "recruiter") -> TestResponse:
    return post(desk.client(), "/sign-in", data={"username": username, "password": password})


def wrong_fields(answer: TestResponse) -> list[str]:
    assert answer.status_code == 422
    return re.findall(r'<input id="f-(\w+)"[^>]*aria-invalid="true"', answer.text)


def changes(desk: Desk, person: User) -> list[tuple[str, str, str]]:
    """(actor, outcome, what changed or why not) of every change of this account."""
    with transaction("auditor", desk.settings) as tx:
        query = select(audit_event.c.body).where(audit_event.c.action == "account:change")
        events = [json.loads(body)["event"] for body in tx.scalars(query.order_by(audit_event.c.seq))]
    return [
        (each["actor"]["id"], each["outcome"], each.get("reason") or str(each["details"]))
        for each in events
        if each["object"]["id"] == str(person.account_id)
    ]


@pytest.fixture
def browser(desk: Desk) -> FlaskClient:
    """Someone signed in whose password is FIRST."""
    made = desk.client(Role.RECRUITER)
    assert fill(made, FIRST).status_code == 303
    return made


def test_from_a_link_to_a_password_of_ones_own(desk: Desk) -> None:
    browser = desk.client()
    landed = post(browser, link(desk), follow_redirects=True)
    assert 'href="/account#h-password"' in landed.text
    asked = browser.get("/account").text
    assert "Set a password" in asked
    assert 'name="current"' not in asked
    told = fill(browser, FIRST)
    assert (told.status_code, told.location) == (303, "/account?done=password-set")
    after = browser.get(told.location).text
    assert "Your password is set." in after
    assert 'name="current"' in after
    post(browser, "/sign-out")
    assert browser.get("/account").location.startswith("/sign-in")
    assert sign_in(desk, "wrong password").status_code == 401
    assert sign_in(desk, FIRST).location == "/"
    again = post(desk.client(), link(desk))
    assert again.location == "/"


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.CANDIDATE])
def test_the_hint_reaches_the_page_that_each_role_lands_on(desk: Desk, role: Role) -> None:
    landed = post(desk.client(), link(desk, role), follow_redirects=True)
    assert landed.status_code == 200
    assert 'href="/account#h-password"' in landed.text


def test_the_page_says_who_one_is_here(desk: Desk) -> None:
    page = desk.client(Role.DEPARTMENT_HEAD).get("/account").text
    facts = dict(re.findall(r"<dt>([^<]+)</dt><dd[^>]*>([^<]+)</dd>", page))
    assert facts["User name"] == "department-head"
    assert facts["Role"] == "Department head"
    assert facts["Department"] not in ("", "–")
    assert facts["Language"] == "中文"
    assert 'href="/account" aria-current="page"' in page


@pytest.mark.parametrize(
    ("current", "password", "again", "wrong"),
    [
        (FIRST, "eleven char", "eleven char", ["password"]),
        (FIRST, "x" * 1025, "x" * 1025, ["password"]),
        (FIRST, SECOND, SECOND + " ", ["again"]),
        ("", SECOND, "", ["current", "again"]),
        ("", "", "", ["current", "password"]),
        ("wrong password", SECOND, SECOND, ["current"]),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_changes(
    desk: Desk, browser: FlaskClient, current: str, password: str, again: str, wrong: list[str]
) -> None:
    answer = fill(browser, password, again, current)
    assert wrong_fields(answer) == wrong
    assert f'href="#f-{wrong[0]}"' in answer.text
    assert not any(typed and typed in answer.text for typed in (current, password, again))
    assert browser.get("/account").status_code == 200
    assert sign_in(desk, FIRST).status_code == 303


def test_a_change_ends_every_other_session_and_link_and_goes_on_here(
    desk: Desk, browser: FlaskClient
) -> None:
    before = browser.get_cookie("fupan")
    other, unused = desk.client(Role.RECRUITER), link(desk)
    assert fill(browser, SECOND, current=FIRST).status_code == 303
    assert browser.get("/account").status_code == 200
    assert other.get("/account").status_code == 303
    assert post(desk.client(), unused).status_code == 401
    earlier = desk.client()
    earlier.set_cookie("fupan", before.value if before else "")
    assert earlier.get("/account").status_code == 303
    assert [sign_in(desk, password).status_code for password in (FIRST, SECOND)] == [401, 303]


def test_wrong_tries_count_as_failed_sign_ins_and_are_on_the_log(desk: Desk, browser: FlaskClient) -> None:
    for _ in range(5):
        assert wrong_fields(fill(browser, SECOND, current="a wrong password")) == ["current"]
    assert wrong_fields(fill(browser, SECOND, current=FIRST)) == ["current"]
    assert sign_in(desk, FIRST).status_code == 401
    me = desk.people[Role.RECRUITER]
    mine = str(me.account_id)
    assert changes(desk, me) == [
        (mine, "ok", "{'password': 'changed'}"),
        *[(mine, "denied", "wrong current password")] * 6,
    ]


def test_what_no_password_can_be_does_not_count_as_a_try(desk: Desk, browser: FlaskClient) -> None:
    for _ in range(6):
        assert wrong_fields(fill(browser, "short", current="a wrong password")) == ["password"]
    assert sign_in(desk, FIRST).status_code == 303


def test_a_forgotten_password_is_removed_by_the_security_administrator(
    desk: Desk, browser: FlaskClient
) -> None:
    me = desk.people[Role.RECRUITER]
    admin, theirs = desk.client(Role.SECURITY_ADMIN), f"/accounts/{me.account_id}"
    asked = f'action="{theirs}/remove-password"'
    assert asked in admin.get(theirs).text
    done = post(admin, f"{theirs}/remove-password", follow_redirects=True).text
    assert "The password is removed." in done
    assert asked not in done
    assert browser.get("/account").status_code == 303
    assert sign_in(desk, FIRST).status_code == 401
    back = desk.client()
    assert "Set a password" in post(back, link(desk), follow_redirects=True).text
    assert fill(back, SECOND).status_code == 303
    by = str(desk.people[Role.SECURITY_ADMIN].account_id)
    assert changes(desk, me)[1] == (by, "ok", "{'password': 'removed'}")
    assert sign_in(desk, SECOND).status_code == 303


def test_a_session_that_ended_while_it_asked_sets_nothing(desk: Desk) -> None:
    """Two browsers of a person without a password: the first one to set it ends the other's session."""
    late = sessions.load(desk.token(Role.AUDITOR), ADDRESS, desk.settings)
    first = sessions.load(desk.token(Role.AUDITOR), ADDRESS, desk.settings)
    assert late is not None
    assert first is not None
    accounts.set_own_password(first, "", FIRST, desk.settings)
    with transaction("staff", desk.settings) as tx, pytest.raises(UnauthenticatedError):
        sessions.require_live(tx, late)
    with pytest.raises(UnauthenticatedError):
        accounts.set_own_password(late, FIRST, SECOND, desk.settings)
    assert sign_in(desk, FIRST, "auditor").status_code == 303
