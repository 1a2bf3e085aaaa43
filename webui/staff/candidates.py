"""Candidates' attempts: the table, and one attempt with its states, consents, checks and history."""

from __future__ import annotations

import uuid

from flask import Blueprint, Response, request

from appliance.database import transaction
from appliance.domain import AttemptState
from appliance.errors import InvalidInputError
from appliance.people import access
from appliance.people.roles import Permission
from appliance.reading import health, interviews, one_attempt
from appliance.stages import invite as stage
from webui.auth import current_user, requires
from webui.errors import message_of
from webui.staff import desk, history, invitations

blueprint = Blueprint("candidates", __name__)


@blueprint.get("/candidates")
@requires(Permission.CANDIDATE_READ)
def index() -> Response:
    """The table, filtered by words, state and position."""
    user = current_user()
    query = desk.ListQuery.from_request("invited")
    wanted = _filter()
    with transaction("staff", desk.settings()) as tx:
        states = interviews.states(tx, user, wanted)
        found = interviews.attempts(
            tx, user, wanted, sort=query.sort, descending=query.descending, number=query.page, counted=states
        )
        names = interviews.position_names(tx, user)
    return desk.page(
        "staff/candidates.html",
        attempts=found,
        states=states,
        names=names,
        wanted=wanted,
        query=query,
        all_states=list(AttemptState),
    )


@blueprint.get("/attempts/<uuid:attempt_id>")
@requires(Permission.CANDIDATE_READ)
def page(attempt_id: uuid.UUID) -> Response:
    """One attempt."""
    return show(attempt_id)


@blueprint.get("/attempts/<uuid:attempt_id>/status")
@requires(Permission.CANDIDATE_READ)
def status(attempt_id: uuid.UUID) -> Response:
    """The states alone, asked again by the page while something runs."""
    with transaction("staff", desk.settings()) as tx:
        access.get_attempt_for(tx, current_user(), attempt_id)
        found = one_attempt.page(tx, attempt_id)
    return desk.page("staff/attempt_status.html", attempt=found)


@blueprint.post("/attempts/<uuid:attempt_id>/invitations")
@requires(Permission.INVITATION_SEND)
def invite_again(attempt_id: uuid.UUID) -> Response:
    """Mail a fresh link, with a later deadline when one is given."""
    day = request.form.get("deadline", "").strip()
    try:
        deadline = invitations.end_of_day(day) if day else None
        with transaction("staff", desk.settings()) as tx:
            stage.invite_again(tx, current_user(), attempt_id, deadline)
    except InvalidInputError as error:
        return show(attempt_id, error)
    return desk.go("candidates.page", done="invited-again", attempt_id=attempt_id)


def show(attempt_id: uuid.UUID, error: InvalidInputError | None = None) -> Response:
    """The attempt's page, after a refused re-invitation with its reason."""
    with transaction("staff", desk.settings()) as tx:
        access.get_attempt_for(tx, current_user(), attempt_id)
        found = one_attempt.page(tx, attempt_id)
    return desk.page(
        "staff/attempt.html",
        422 if error else 200,
        attempt=found,
        lines=[history.line(each) for each in found.history],
        checks=history.checks(found.checks),
        vault=health.vault_state(desk.settings()),
        error=message_of(error) if error else None,
        can_invite=found.row.state != AttemptState.FINISHED,
    )


def _filter() -> interviews.AttemptFilter:
    state = request.args.get("state", "")
    try:
        position_id = uuid.UUID(request.args.get("position", ""))
    except ValueError:
        position_id = None
    return interviews.AttemptFilter(
        text=request.args.get("q", "").strip()[:100],
        state=state if state in set(AttemptState) else "",
        position_id=position_id,
    )
