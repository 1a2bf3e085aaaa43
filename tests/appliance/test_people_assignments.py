from __future__ import annotations

import json

import pytest
from sqlalchemy import select

from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import Role
from appliance.errors import InvalidInputError, NotFoundError
from appliance.people import access, assignments
from appliance.tables import audit_event
from tests.support import factory


def test_an_interviewer_sees_an_attempt_while_assigned(settings: Settings) -> None:
    department = factory.make_department(settings)
    recruiter = factory.make_user(settings, Role.RECRUITER)
    interviewer = factory.make_user(settings, Role.INTERVIEWER)
    attempt = factory.make_attempt(settings, department)
    with transaction("staff", settings) as tx:
        for _ in range(2):
            assignments.assign(tx, recruiter, attempt, interviewer.account_id)
        assert access.get_recording_for(tx, interviewer, attempt).id == attempt
        assignments.unassign(tx, recruiter, attempt, interviewer.account_id)
        with pytest.raises(NotFoundError):
            access.get_recording_for(tx, interviewer, attempt)
        assignments.unassign(tx, recruiter, attempt, interviewer.account_id)
    with transaction("auditor", settings) as tx:  # what changed nothing is no entry
        bodies = tx.scalars(select(audit_event.c.body).order_by(audit_event.c.seq)).all()
    told = [json.loads(body)["event"]["details"] for body in bodies]
    assert told == [{verb: str(interviewer.account_id)} for verb in ("assigned", "unassigned")]


def test_only_interviewers_are_assigned_and_only_by_those_who_may(settings: Settings) -> None:
    ours, theirs = factory.make_department(settings), factory.make_department(settings)
    head = factory.make_user(settings, Role.DEPARTMENT_HEAD, ours)
    interviewer = factory.make_user(settings, Role.INTERVIEWER)
    auditor = factory.make_user(settings, Role.AUDITOR)
    mine, foreign = factory.make_attempt(settings, ours), factory.make_attempt(settings, theirs)
    with transaction("staff", settings) as tx:
        with pytest.raises(InvalidInputError):
            assignments.assign(tx, head, mine, auditor.account_id)
        for user, attempt in ((head, foreign), (auditor, mine), (interviewer, mine)):
            with pytest.raises(NotFoundError):
                assignments.assign(tx, user, attempt, interviewer.account_id)
            with pytest.raises(NotFoundError):
                assignments.unassign(tx, user, attempt, interviewer.account_id)
