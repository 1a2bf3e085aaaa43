"""Who sees which position, attempt and recording: the whole matrix of roles and places."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event, insert

from appliance.config import Settings
from appliance.database import engine, transaction
from appliance.domain import Role, User
from appliance.errors import NotFoundError
from appliance.people import access
from appliance.people.roles import ADMINISTRATORS, Permission
from appliance.reading import interviews
from appliance.reading.interviews import AttemptFilter
from appliance.tables import assignment
from tests.support import factory

GET = {
    "position": access.get_position_for,
    "attempt": access.get_attempt_for,
    "recording": access.get_recording_for,
}
# What pages list. A recording stands in the list of attempts, under the same id.
LIST = {
    "position": lambda tx, user: interviews.positions(tx, user).rows,
    "attempt": lambda tx, user: interviews.attempts(tx, user, AttemptFilter()).rows,
    "recording": lambda tx, user: interviews.attempts(tx, user, AttemptFilter()).rows,
}


class Company:
    """Two departments with an interview each; in ours an interviewer has a part."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ours, self.theirs = factory.make_department(settings), factory.make_department(settings)
        self.ids: dict[tuple[str, str], uuid.UUID] = {}
        for place, department in (("ours", self.ours), ("unassigned", self.ours), ("theirs", self.theirs)):
            job = factory.make_position(settings, department)
            made = factory.make_attempt(settings, department, job)
            self.ids |= {
                ("position", place): job,
                ("attempt", place): made,
                ("recording", place): made,
            }
        self.people = {
            "recruiter": factory.make_user(settings, Role.RECRUITER),
            "narrowed recruiter": factory.make_user(settings, Role.RECRUITER, self.ours),
            "department head": factory.make_user(settings, Role.DEPARTMENT_HEAD, self.ours),
            "interviewer": factory.make_user(settings, Role.INTERVIEWER, self.ours),
            **{role.value: factory.make_user(settings, role, self.ours) for role in ADMINISTRATORS},
        }
        with transaction("staff", settings) as tx:
            tx.execute(
                insert(assignment).values(
                    attempt_id=self.ids["attempt", "ours"],
                    account_id=self.people["interviewer"].account_id,
                )
            )


@pytest.fixture
def company(settings: Settings) -> Company:
    return Company(settings)


SEES = {
    "recruiter": {"ours", "unassigned", "theirs"},
    "narrowed recruiter": {"ours", "unassigned"},
    "department head": {"ours", "unassigned"},
    "interviewer": {"ours"},
    "system_admin": set(),
    "security_admin": set(),
    "auditor": set(),
}


@pytest.mark.parametrize("kind", GET)
def test_each_role_sees_exactly_its_scope(company: Company, kind: str) -> None:
    found: dict[str, set[str]] = {}
    listed: dict[str, set[str]] = {}
    with transaction("staff", company.settings) as tx:
        for name, user in company.people.items():
            found[name] = {
                place
                for place in ("ours", "unassigned", "theirs")
                if seen(GET[kind], tx, user, company.ids[kind, place])
            }
            rows = LIST[kind](tx, user)
            listed[name] = {
                place for (k, place), id_ in company.ids.items() if k == kind and id_ in ids(rows)
            }
    assert found == listed == SEES


def seen(get: Callable[..., Any], tx: Any, user: User, object_id: uuid.UUID) -> bool:
    try:
        return bool(get(tx, user, object_id).id == object_id)
    except NotFoundError:
        return False


def ids(rows: Any) -> set[uuid.UUID]:
    return {row.id for row in rows}


@pytest.mark.parametrize("kind", GET)
def test_unknown_and_forbidden_are_the_same_error_after_the_same_queries(company: Company, kind: str) -> None:
    head = company.people["department head"]
    outcomes = []
    for object_id in (company.ids[kind, "theirs"], uuid.uuid4()):
        statements: list[tuple[str, int]] = []

        def note(
            _c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any, seen: Any = statements
        ) -> None:
            seen.append((statement, len(parameters)))

        staff = engine("staff", company.settings)
        event.listen(staff, "before_cursor_execute", note)
        with pytest.raises(NotFoundError) as caught, transaction("staff", company.settings) as tx:
            GET[kind](tx, head, object_id)
        event.remove(staff, "before_cursor_execute", note)
        outcomes.append((str(caught.value), caught.value.code, caught.value.params, statements))
    assert outcomes[0] == outcomes[1]
    assert len(outcomes[0][3]) == 1


def test_an_object_is_not_found_for_a_permission_that_the_role_lacks(company: Company) -> None:
    interviewer = company.people["interviewer"]
    mine = company.ids["position", "ours"]
    with transaction("staff", company.settings) as tx:
        assert access.get_position_for(tx, interviewer, mine).id == mine
        with pytest.raises(NotFoundError):
            access.get_position_for(tx, interviewer, mine, Permission.POSITION_WRITE)


def test_an_attempt_comes_with_its_department(company: Company) -> None:
    with transaction("staff", company.settings) as tx:
        row = access.get_attempt_for(tx, company.people["recruiter"], company.ids["attempt", "theirs"])
        assert (row.department_id, row.state, row.generation) == (company.theirs, "invited", 1)


def test_a_department_head_whose_department_is_gone_sees_nothing(company: Company) -> None:
    lost = factory.make_user(company.settings, Role.DEPARTMENT_HEAD, company.ours)
    lost = User(**{**vars(lost), "department_id": None})
    with transaction("staff", company.settings) as tx:
        assert LIST["position"](tx, lost) == LIST["attempt"](tx, lost) == []
