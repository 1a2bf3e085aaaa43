"""Candidates' attempts: the table, and one attempt with its states, consents, checks and history."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from flask import Blueprint, Response, request
from sqlalchemy import Connection

from appliance.database import transaction
from appliance.domain import AttemptState, RecordingState
from appliance.erasing import NOBODY
from appliance.errors import FupanError, InvalidInputError, NotFoundError
from appliance.people import access, assignments
from appliance.people.roles import Permission
from appliance.reading import erasures, interviews, one_attempt, vault_notice
from appliance.stages import analyse, seal
from appliance.stages import invite as stage
from appliance.stages.decide import notes
from appliance.stages.talent import resume
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
        again = _orderable(tx, attempt_id)
    return desk.page("staff/attempt_status.html", attempt=found, again=again)


@blueprint.post("/attempts/<uuid:attempt_id>/invitations")
@requires(Permission.INVITATION_SEND)
def invite_again(attempt_id: uuid.UUID) -> Response:
    """Mail a fresh link, with a later deadline when one is given."""
    day = request.form.get("deadline", "").strip()

    def act(tx: Connection) -> None:
        deadline = invitations.end_of_day(day) if day else None
        stage.invite_again(tx, current_user(), attempt_id, deadline)

    return _change(attempt_id, "invited-again", act)


@blueprint.post("/attempts/<uuid:attempt_id>/seal")
@requires(Permission.RECORDING_SEAL)
def seal_again(attempt_id: uuid.UUID) -> Response:
    """Order a failed seal again; ordering it twice is ordering it once."""
    return _change(attempt_id, "seal-ordered", lambda tx: seal.order_again(tx, current_user(), attempt_id))


@blueprint.post("/attempts/<uuid:attempt_id>/analysis")
@requires(Permission.ANALYSIS_RUN)
def analyse_again(attempt_id: uuid.UUID) -> Response:
    """Order an analysis that failed or is of another model pack; ordering it twice is ordering it once."""
    return _change(
        attempt_id,
        "analysis-ordered",
        lambda tx: analyse.order_again(tx, desk.settings(), current_user(), attempt_id),
    )


@blueprint.post("/attempts/<uuid:attempt_id>/interviewers")
@requires(Permission.ASSIGNMENT_WRITE)
def assign(attempt_id: uuid.UUID) -> Response:
    """Let an interviewer see this attempt."""
    try:
        account_id = desk.as_uuid(request.form.get("account_id"))
    except NotFoundError:
        return show(attempt_id, InvalidInputError("Choose an interviewer whose account is enabled."))
    return _change(
        attempt_id, "assigned", lambda tx: assignments.assign(tx, current_user(), attempt_id, account_id)
    )


@blueprint.post("/attempts/<uuid:attempt_id>/interviewers/<uuid:account_id>/remove")
@requires(Permission.ASSIGNMENT_WRITE)
def unassign(attempt_id: uuid.UUID, account_id: uuid.UUID) -> Response:
    """Take the attempt out of an interviewer's sight; a replay they have open ends."""
    return _change(
        attempt_id,
        "unassigned",
        lambda tx: assignments.unassign(tx, current_user(), attempt_id, account_id),
    )


def _change(attempt_id: uuid.UUID, done: str, act: Callable[[Connection], object]) -> Response:
    """Do one act on an attempt and show it again, with the reason where the act was refused."""
    try:
        return desk.change(act, "candidates.page", done, attempt_id=attempt_id)
    except InvalidInputError as error:
        return show(attempt_id, error)


def show(attempt_id: uuid.UUID, error: FupanError | None = None) -> Response:
    """The attempt's page, after a refused form with its reason beside it."""
    with transaction("staff", desk.settings()) as tx:
        access.get_attempt_for(tx, current_user(), attempt_id)
        found = one_attempt.page(tx, attempt_id)
        resumes = resume.versions(tx, found.candidate_id)
        heads = notes.heads(tx, attempt_id)
        again = _orderable(tx, attempt_id)
        assigned = assignments.assigned(tx, attempt_id)
        marks = erasures.of_attempt(tx, current_user(), attempt_id, found.candidate_id)
        others = [
            each for each in assignments.interviewers(tx) if each.id not in {one.id for one in assigned}
        ]
    gone = found.recording is not None and found.recording.state == RecordingState.ERASED
    return desk.page(
        "staff/attempt.html",
        error.status if error else 200,
        attempt=found,
        again=again,
        resumes=resumes,
        resume_bytes=resume.MAX_BYTES,
        notes=heads,
        assigned=assigned,
        others=others,
        lines=[history.line(each) for each in found.history],
        checks=history.checks(found.checks),
        marks=marks,
        gone=gone,
        nobody=found.row.name == NOBODY,
        vault=vault_notice.notice(desk.settings()),
        error=message_of(error) if error else None,
        refused=request.endpoint,
        can_invite=found.row.state != AttemptState.FINISHED and not gone,
    )


def _orderable(tx: Connection, attempt_id: uuid.UUID) -> str | None:
    """The model pack with which this attempt may be analysed again, or None."""
    pack = analyse.active_pack_version(desk.settings())
    return pack if analyse.may_order(tx, attempt_id, pack) else None


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
