"""Every route states who may call it, and every role that may not is answered as if it were not there."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import Role
from appliance.keyholder.client import Keyholder
from appliance.people.roles import ADMINISTRATORS, Permission, allowed
from appliance.tables import audit_event
from tests.support import access_matrix
from tests.support.desk import SAME_ORIGIN, Desk
from webui.auth import OPEN, permission_of

pytestmark = pytest.mark.promise

SHOWS_RECORDINGS = {
    Permission.RECORDING_REPLAY,
    Permission.NOTE_READ,
    Permission.NOTE_WRITE,
    Permission.RESUME_READ,
    Permission.RESUME_WRITE,
}
STAFF = [role for role in Role if role is not Role.CANDIDATE]
PARTS = {"name": "camera", "what": "disable", "kind": "csv", "seq": "1", "version": "1", "token": "x"}


@pytest.fixture
def desk(settings: Settings, keyholder: Keyholder) -> Desk:
    return Desk(settings, keyholder)


def address(rule: str) -> str:
    """A route with its parts filled in by what exists nowhere."""
    path = re.sub(r"<uuid:\w+>", str(uuid.uuid4()), rule)
    return re.sub(r"<(?:[^:<>]+:)?(\w+)>", lambda found: PARTS[found.group(1)], path)


def refusals(desk: Desk) -> int:
    with transaction("auditor", desk.settings) as tx:
        query = select(func.count()).where(audit_event.c.action == "access:denied")
        return tx.scalar(query) or 0


def test_the_committed_matrix_is_what_the_code_says(desk: Desk) -> None:
    now = access_matrix.text({"intake": desk.site.intake.application, "staff": desk.app})
    assert access_matrix.FILE.read_text(encoding="utf-8") == now, "run python -m tests.support.access_matrix"


def test_every_permission_is_demanded_by_a_route(desk: Desk) -> None:
    apps = (desk.site.intake.application, desk.app)
    demanded = {permission_of(app, rule.endpoint) for app in apps for rule in app.url_map.iter_rules()}
    assert set(Permission) == demanded


def test_no_administrator_may_call_a_route_that_shows_a_recording_or_what_is_kept_about_it(
    desk: Desk,
) -> None:
    rules = desk.app.url_map.iter_rules()
    shows = [rule for rule in rules if permission_of(desk.app, rule.endpoint) in SHOWS_RECORDINGS]
    assert len(shows) >= 11
    for role in ADMINISTRATORS:
        assert not any(allowed(role, permission) for permission in SHOWS_RECORDINGS)


def test_every_role_is_answered_as_its_permissions_say(
    desk: Desk, record_property: Callable[[str, object], None]
) -> None:
    clients = {role: desk.client(role) for role in STAFF}
    anyone = desk.client()
    asked = refused = 0
    for rule in desk.app.url_map.iter_rules():
        permission = permission_of(desk.app, rule.endpoint)
        assert permission is not None
        if permission in OPEN or rule.endpoint == "session.sign_out":
            continue
        for method in access_matrix.methods(rule):
            path = address(rule.rule)
            answer = anyone.open(path, method=method, headers=SAME_ORIGIN)
            assert (answer.status_code, answer.location.split("?")[0]) == (303, "/sign-in"), rule
            for role, browser in clients.items():
                before = refusals(desk)
                answer = browser.open(path, method=method, headers=SAME_ORIGIN)
                asked += 1
                if allowed(role, permission):
                    # What the address names does not exist: asking for it may be a refusal on the record.
                    recorded = refusals(desk) - before
                    assert recorded == 0 or (recorded, answer.status_code) == (1, 404), (role, rule)
                    assert answer.status_code in (200, 303, 404, 409, 410, 415, 422), (role, rule)
                else:
                    refused += 1
                    assert (answer.status_code, refusals(desk)) == (404, before + 1), (role, rule)
    record_property("figure", f"{asked} role and route pairs asked, {refused} refused and recorded")


def test_the_candidates_api_asks_for_its_token(desk: Desk) -> None:
    app = desk.site.intake.application
    for rule in app.url_map.iter_rules():
        permission = permission_of(app, rule.endpoint)
        if permission is Permission.PUBLIC:
            continue
        for method in access_matrix.methods(rule):
            path = re.sub(r"<uuid:\w+>", str(uuid.uuid4()), rule.rule)
            path = re.sub(r"<int:\w+>", "1", path)
            path = re.sub(r"<(?:[^:<>]+:)?\w+>", "x", path)
            answer = desk.site.intake.open(path, method=method)
            assert answer.status_code in (401, 403, 404), rule
