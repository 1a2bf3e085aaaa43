"""Positions: the list, one position with its candidates and invitations, and the form."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any

from flask import Blueprint, Response, request
from flask_babel import gettext as _

from appliance.database import transaction
from appliance.domain import Competency, Question, ScreenPolicy
from appliance.errors import InvalidInputError
from appliance.packet import Policy
from appliance.people import access
from appliance.people.roles import Permission
from appliance.reading import interviews
from appliance.stages import position as stage
from webui import i18n
from webui.auth import current_user, requires
from webui.errors import message_of
from webui.staff import desk, invitations

blueprint = Blueprint("positions", __name__, url_prefix="/positions")

DEFAULT_QUESTION = Question(1, "", 30, 180)
DEFAULT_DAYS = 7


@dataclass(frozen=True)
class Entered:
    """The form as it was typed, so that nothing is lost when something must be mended."""

    title: str = ""
    language: str = ""
    department_id: str = ""
    screen: str = "off"
    analysis: str = "offered"
    min_seconds: str = "0"
    questions: list[dict[str, Any]] = field(default_factory=list)
    competencies: list[dict[str, Any]] = field(default_factory=list)


# How the ids of a row's fields begin in the form; a field that is there once has the macro's own id.
ROW_IDS = {
    "question_text": "q-text",
    "question_prep": "q-prep",
    "question_answer": "q-answer",
    "question_competency": "q-competency",
    "question_hint": "q-hint",
    "competency_name": "c-name",
    "weight": "c-weight",
}


@dataclass(frozen=True)
class Problem:
    """What must be mended: the name of its field and, where that field is there in several rows, which of
    them; without a row it is about all of them together."""

    message: str
    field: str
    row: int | None = None

    @property
    def anchor(self) -> str:
        """The id of the field, or of the first of them; empty when it is about none."""
        if self.field in ROW_IDS:
            return f"{ROW_IDS[self.field]}-{self.row or 0}"
        return f"f-{self.field}" if self.field else ""

    def at(self, field: str, row: int | None = None) -> bool:
        """Whether it is about this field of this row alone."""
        return (self.field, self.row) == (field, row)


@blueprint.get("")
@requires(Permission.POSITION_READ)
def index() -> Response:
    """All positions in scope, open or closed."""
    closed = request.args.get("closed") == "1"
    query = desk.ListQuery.from_request("created")
    with transaction("staff", desk.settings()) as tx:
        found = interviews.positions(tx, current_user(), closed=closed, number=query.page)
    return desk.page("staff/positions.html", positions=found, closed=closed, query=query)


@blueprint.get("/new")
@requires(Permission.POSITION_WRITE)
def new() -> Response:
    """An empty form with one question, in the language of the page."""
    language = "zh" if i18n.in_chinese() else "en"
    entered = Entered(language=language, questions=[_typed(DEFAULT_QUESTION)])
    return _form(entered, None)


@blueprint.post("")
@requires(Permission.POSITION_WRITE)
def create() -> Response:
    """Save a new position."""
    entered = _entered()
    try:
        with transaction("staff", desk.settings()) as tx:
            form = _checked(entered)
            made = stage.create(tx, current_user(), desk.as_uuid(entered.department_id), form)
    except InvalidInputError as error:
        return _form(entered, None, error)
    return desk.go("positions.page", done="position-saved", position_id=made)


@blueprint.get("/<uuid:position_id>")
@requires(Permission.POSITION_READ)
def page(position_id: uuid.UUID) -> Response:
    """One position: questions, competencies, candidates, invitation form."""
    return show(position_id)


@blueprint.get("/<uuid:position_id>/edit")
@requires(Permission.POSITION_WRITE)
def edit(position_id: uuid.UUID) -> Response:
    """The form with what is saved."""
    with transaction("staff", desk.settings()) as tx:
        known = access.get_position_for(tx, current_user(), position_id)
        asked = interviews.questions(tx, position_id)
    # The form knows competencies by their names alone.
    names = {each["id"]: each["name"] for each in known.competency_model}
    entered = Entered(
        title=known.title,
        language=known.language,
        department_id=str(known.department_id),
        screen=known.policy["screen"],
        analysis=known.policy["analysis"],
        min_seconds=str(known.policy["min_seconds"]),
        questions=[
            {**_typed(each), "competency": names.get(each.competency, each.competency)} for each in asked
        ],
        competencies=list(known.competency_model),
    )
    return _form(entered, position_id)


@blueprint.post("/<uuid:position_id>")
@requires(Permission.POSITION_WRITE)
def change(position_id: uuid.UUID) -> Response:
    """Save a changed position; those already invited keep what they were told."""
    entered = _entered()
    try:
        return desk.change(
            lambda tx: stage.change(tx, current_user(), position_id, _checked(entered)),
            "positions.page",
            "position-saved",
            position_id=position_id,
        )
    except InvalidInputError as error:
        return _form(entered, position_id, error)


@blueprint.post("/<uuid:position_id>/close")
@requires(Permission.POSITION_WRITE)
def close(position_id: uuid.UUID) -> Response:
    """No more invitations for this position."""
    return desk.change(
        lambda tx: stage.close(tx, current_user(), position_id),
        "positions.page",
        "position-closed",
        position_id=position_id,
    )


@blueprint.post("/<uuid:position_id>/invitations")
@requires(Permission.INVITATION_SEND)
def invite(position_id: uuid.UUID) -> Response:
    """Invite everyone in the rows that can be invited; say of each other row why not."""
    text = request.form.get("people", "")
    deadline = request.form.get("deadline", "")
    try:
        until = invitations.end_of_day(deadline)
        results = invitations.send(desk.settings(), current_user(), position_id, text, until)
    except InvalidInputError as error:
        return show(position_id, text=text, deadline=deadline, error=error)
    left = "\n".join(each.line for each in results if each.error)
    return show(position_id, text=left, deadline=deadline, results=results)


def show(
    position_id: uuid.UUID,
    *,
    text: str = "",
    deadline: str = "",
    results: list[invitations.RowResult] | None = None,
    error: InvalidInputError | None = None,
) -> Response:
    """The position's page, after an invitation with its results."""
    user = current_user()
    query = desk.ListQuery.from_request("invited")
    with transaction("staff", desk.settings()) as tx:
        known = access.get_position_for(tx, user, position_id)
        asked = interviews.questions(tx, position_id)
        wanted = interviews.AttemptFilter(position_id=position_id)
        states = interviews.states(tx, user, wanted)
        attempts = interviews.attempts(
            tx, user, wanted, sort=query.sort, descending=query.descending, number=query.page, counted=states
        )
    default = (datetime.now(UTC) + timedelta(days=DEFAULT_DAYS)).date().isoformat()
    return desk.page(
        "staff/position.html",
        422 if error else 200,
        position=known,
        questions=asked,
        attempts=attempts,
        states=states,
        query=query,
        people=text,
        deadline=deadline or default,
        results=results,
        error=message_of(error) if error else None,
        today=datetime.combine(datetime.now(UTC).date(), time()).date().isoformat(),
    )


def _form(
    entered: Entered, position_id: uuid.UUID | None, error: InvalidInputError | None = None
) -> Response:
    with transaction("staff", desk.settings()) as tx:
        departments = interviews.departments(tx, current_user())
    return desk.page(
        "staff/position_form.html",
        422 if error else 200,
        entered=entered,
        position_id=position_id,
        departments=departments,
        problem=_problem(entered, error) if error else None,
    )


def _problem(entered: Entered, error: InvalidInputError) -> Problem:
    """Which field of the form as it was typed an error is about."""
    params = error.params
    row: int | None = None
    number = params.get("n")
    if isinstance(number, int):
        row = number - 1
    elif "id" in params:
        rows = [at for at, each in enumerate(entered.competencies) if each["id"] == params["id"]]
        row = rows[-1] if rows else None
    return Problem(message_of(error), str(params.get("field", "")), row)


def _typed(asked: Question) -> dict[str, Any]:
    return {
        "text": asked.text,
        "prep": asked.prep_seconds,
        "answer": asked.answer_seconds,
        "hint": asked.hint,
        "competency": asked.competency,
    }


def _entered() -> Entered:
    form = request.form
    names = ("text", "prep", "answer", "hint", "competency")
    columns = [form.getlist(f"question_{name}") for name in names]
    competencies = zip(form.getlist("competency_name"), form.getlist("weight"), strict=False)
    return Entered(
        title=form.get("title", ""),
        language=form.get("language", ""),
        department_id=form.get("department_id", ""),
        screen=form.get("screen", ""),
        analysis=form.get("analysis", ""),
        min_seconds=form.get("min_seconds", "0"),
        questions=[dict(zip(names, row, strict=True)) for row in zip(*columns, strict=False)],
        competencies=[
            {"id": name.strip(), "name": name, "weight": weight}
            for name, weight in competencies
            if name.strip() or weight.strip()
        ],
    )


def _checked(entered: Entered) -> stage.PositionForm:
    if entered.screen not in set(ScreenPolicy):
        raise InvalidInputError("Choose whether the screen is recorded.", field="screen")
    questions = [
        Question(
            ordinal=number,
            text=row["text"],
            prep_seconds=desk.whole_number(
                row["prep"], _("Question %(n)s: seconds to think", n=number), field="question_prep", n=number
            ),
            answer_seconds=desk.whole_number(
                row["answer"],
                _("Question %(n)s: seconds to answer", n=number),
                field="question_answer",
                n=number,
            ),
            hint=row["hint"],
            competency=row["competency"].strip(),
        )
        for number, row in enumerate(entered.questions, start=1)
    ]
    competencies = [
        Competency(
            row["id"],
            row["name"],
            desk.whole_number(
                row["weight"], _("The weight of %(name)s", name=row["name"]), field="weight", id=row["id"]
            ),
        )
        for row in entered.competencies
    ]
    policy = Policy(
        screen=ScreenPolicy(entered.screen),
        analysis=entered.analysis,
        min_seconds=desk.whole_number(entered.min_seconds, _("At least, in seconds"), field="min_seconds"),
    )
    return stage.PositionForm(entered.title, entered.language, questions, competencies, policy)
