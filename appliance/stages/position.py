"""Position: what is asked of every candidate for one job, and the competencies it is judged by.

A position may change; an attempt keeps the snapshot that it was invited with.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, insert, select, update

from analysis import competency
from appliance import texts
from appliance.audit import log
from appliance.domain import Competency, Question, Role, User
from appliance.errors import ConflictError, InvalidInputError, NotFoundError
from appliance.packet import Policy
from appliance.people import access
from appliance.people.roles import Permission, allowed
from appliance.tables import department, position, question

MAX_TITLE = 120
MAX_TEXT = 2000
MAX_HINT = 500
MAX_QUESTIONS = 50
MAX_COMPETENCIES = 20
MAX_PREP_SECONDS = 30 * 60
MIN_ANSWER_SECONDS = 5
MAX_ANSWER_SECONDS = 60 * 60


@dataclass(frozen=True)
class PositionForm:
    """What staff enter; times in seconds. Questions are put in this order, with ordinals from 1."""

    title: str
    language: str
    questions: Sequence[Question]
    competencies: Sequence[Competency] = ()
    policy: Policy = field(default_factory=Policy)


def create(tx: Connection, user: User, department_id: uuid.UUID, form: PositionForm) -> uuid.UUID:
    """Make a position in a department of the user's; returns its id.

    Raises InvalidInputError, NotFoundError.
    """
    form = checked(form)
    everywhere = user.role is Role.RECRUITER and user.department_id is None
    if not allowed(user.role, Permission.POSITION_WRITE) or not (
        everywhere or user.department_id == department_id
    ):
        raise NotFoundError
    if tx.scalar(select(department.c.id).where(department.c.id == department_id)) is None:
        raise NotFoundError
    position_id = uuid.uuid4()
    tx.execute(
        insert(position).values(
            id=position_id,
            department_id=department_id,
            created_by=user.account_id,
            **_columns(form),
        )
    )
    _insert_questions(tx, position_id, form.questions)
    log.append(tx, log.Action.POSITION_CREATE, log.Actor.of(user), "position", position_id)
    return position_id


def change(tx: Connection, user: User, position_id: uuid.UUID, form: PositionForm) -> None:
    """Replace what a position asks. A changed competency model gets the next version number."""
    form = checked(form)
    known = access.get_position_for(tx, user, position_id, Permission.POSITION_WRITE)
    if known.closed_at is not None:
        raise ConflictError
    values = _columns(form)
    if known.competency_model != values["competency_model"]:
        values["model_version"] = known.model_version + 1
    tx.execute(update(position).where(position.c.id == position_id).values(**values))
    tx.execute(delete(question).where(question.c.position_id == position_id))
    _insert_questions(tx, position_id, form.questions)
    log.append(tx, log.Action.POSITION_CHANGE, log.Actor.of(user), "position", position_id)


def close(tx: Connection, user: User, position_id: uuid.UUID) -> None:
    """No more invitations for this position; what was invited goes on. Closing twice is closing once."""
    known = access.get_position_for(tx, user, position_id, Permission.POSITION_WRITE)
    if known.closed_at is not None:
        return
    tx.execute(update(position).where(position.c.id == position_id).values(closed_at=datetime.now(UTC)))
    log.append(tx, log.Action.POSITION_CLOSE, log.Actor.of(user), "position", position_id)


def checked(form: PositionForm) -> PositionForm:
    """The form with tidy texts and its questions numbered from 1.

    Raises InvalidInputError that says what to mend; its parameter `field` names the field of the form, `n`
    the question or `id` the competency that it belongs to.
    """
    title = form.title.strip()
    if not 0 < len(title) <= MAX_TITLE:
        raise InvalidInputError(
            "Give the position a title of at most %(limit)s characters.", limit=MAX_TITLE, field="title"
        )
    if form.language not in texts.LANGUAGES:
        raise InvalidInputError("Choose the language of the interview.", field="language")
    if not 1 <= len(form.questions) <= MAX_QUESTIONS:
        raise InvalidInputError("Enter between 1 and %(limit)s questions.", limit=MAX_QUESTIONS)
    competencies = _checked_competencies(form.competencies)
    known = {each.id for each in competencies}
    questions = [_checked_question(n, each, known) for n, each in enumerate(form.questions, start=1)]
    if form.policy.analysis not in ("offered", "off"):
        raise InvalidInputError("Choose whether candidates are offered an analysis.", field="analysis")
    if not 0 <= form.policy.min_seconds <= sum(each.answer_seconds for each in questions):
        raise InvalidInputError(
            "The minimum length is longer than all answers together.", field="min_seconds"
        )
    return PositionForm(title, form.language, questions, competencies, form.policy)


def _checked_question(ordinal: int, asked: Question, competencies: set[str]) -> Question:
    text, hint = asked.text.strip(), asked.hint.strip()
    if not 0 < len(text) <= MAX_TEXT:
        raise InvalidInputError(
            "Question %(n)s needs a text of at most %(limit)s characters.",
            n=ordinal,
            limit=MAX_TEXT,
            field="question_text",
        )
    if len(hint) > MAX_HINT:
        raise InvalidInputError(
            "The hint of question %(n)s is over %(limit)s characters.",
            n=ordinal,
            limit=MAX_HINT,
            field="question_hint",
        )
    if not 0 <= asked.prep_seconds <= MAX_PREP_SECONDS:
        raise InvalidInputError(
            "Question %(n)s: preparation takes 0 to %(limit)s seconds.",
            n=ordinal,
            limit=MAX_PREP_SECONDS,
            field="question_prep",
        )
    if not MIN_ANSWER_SECONDS <= asked.answer_seconds <= MAX_ANSWER_SECONDS:
        raise InvalidInputError(
            "Question %(n)s: an answer takes %(least)s to %(limit)s seconds.",
            n=ordinal,
            least=MIN_ANSWER_SECONDS,
            limit=MAX_ANSWER_SECONDS,
            field="question_answer",
        )
    if asked.competency and asked.competency not in competencies:
        raise InvalidInputError(
            "Question %(n)s names a competency that the position does not have.",
            n=ordinal,
            field="question_competency",
        )
    return Question(ordinal, text, asked.prep_seconds, asked.answer_seconds, hint, asked.competency)


def _checked_competencies(competencies: Sequence[Competency]) -> list[Competency]:
    """A model that scores can be computed by, or none at all."""
    tidy = [Competency(each.id.strip(), each.name.strip(), each.weight) for each in competencies]
    if len(tidy) > MAX_COMPETENCIES:
        raise InvalidInputError("Enter at most %(limit)s competencies.", limit=MAX_COMPETENCIES)
    for each in tidy:
        if len(each.name) > MAX_TITLE:
            raise InvalidInputError(
                "Give each competency a name of at most %(limit)s characters.",
                limit=MAX_TITLE,
                id=each.id,
                field="competency_name",
            )
    try:
        competency.read_model([asdict(each) for each in tidy])
    except competency.CompetencyError as error:
        raise _wrong_model(error) from error
    return tidy


def _wrong_model(error: competency.CompetencyError) -> InvalidInputError:
    if error.reason == "total":
        return InvalidInputError(
            "The weights total %(total)s %%. Make them total 100 %%.",
            total=error.params["total"],
            field="weight",
        )
    if error.reason == "duplicate":
        return InvalidInputError(
            "The competency %(id)s is there twice.", id=error.params["id"], field="competency_name"
        )
    if error.reason == "weight":
        return InvalidInputError(
            "The weight of %(id)s must be a whole number from 1 to 100.",
            id=error.params["id"],
            field="weight",
        )
    return InvalidInputError("Give each competency a name.", id="", field="competency_name")


def _columns(form: PositionForm) -> dict[str, object]:
    return {
        "title": form.title,
        "language": form.language,
        "policy": asdict(form.policy),
        "competency_model": [asdict(each) for each in form.competencies],
    }


def _insert_questions(tx: Connection, position_id: uuid.UUID, questions: Sequence[Question]) -> None:
    rows = [{"id": uuid.uuid4(), "position_id": position_id, **asdict(each)} for each in questions]
    tx.execute(insert(question), rows)
