from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from sqlalchemy import select

from appliance.audit import log
from appliance.database import transaction
from appliance.domain import Competency, Question, Role
from appliance.errors import ConflictError, InvalidInputError, NotFoundError
from appliance.packet import Policy
from appliance.stages import position
from appliance.tables import position as position_table
from appliance.tables import question
from tests.support import factory
from tests.support.site import COMPETENCIES, QUESTIONS, Site

ONE = (Question(1, "q", 1, 60),)
FORM = position.PositionForm("后端工程师", "zh", QUESTIONS, COMPETENCIES)


def test_a_position_keeps_its_questions_in_order_with_prep_answer_and_hint(site: Site) -> None:
    made = site.position()
    rows = sorted(site.rows(question, position_id=made), key=lambda row: row.ordinal)
    assert [(row.ordinal, row.prep_seconds, row.answer_seconds, row.hint) for row in rows] == [
        (1, 10, 120, "请面向摄像头"),
        (2, 5, 90, ""),
    ]
    assert site.row(position_table, made).model_version == 1


def test_only_a_changed_competency_model_gets_a_new_version(site: Site) -> None:
    made = site.position()
    with transaction("staff", site.settings) as tx:
        position.change(tx, site.recruiter, made, replace(FORM, title="平台工程师"))
    assert (site.row(position_table, made).title, site.row(position_table, made).model_version) == (
        "平台工程师",
        1,
    )
    changed = (Competency("delivery", "交付能力", 50), Competency("problem", "解决问题", 50))
    with transaction("staff", site.settings) as tx:
        position.change(tx, site.recruiter, made, replace(FORM, competencies=changed))
    assert site.row(position_table, made).model_version == 2


def test_a_closed_position_is_not_changed(site: Site) -> None:
    made = site.position()
    for _ in range(2):
        with transaction("staff", site.settings) as tx:
            position.close(tx, site.recruiter, made)
    with pytest.raises(ConflictError), transaction("staff", site.settings) as tx:
        position.change(tx, site.recruiter, made, FORM)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"title": "  "}, "title"),
        ({"language": "fr"}, "language"),
        ({"questions": ()}, "questions"),
        ({"questions": (Question(1, "", 1, 60),)}, "text"),
        ({"questions": (Question(1, "q", -1, 60),)}, "preparation"),
        ({"questions": (Question(1, "q", 1, 2),)}, "answer"),
        ({"questions": (Question(1, "q", 1, 60, "h" * 501),)}, "hint"),
        ({"questions": (Question(1, "q", 1, 60, "", "nothing"),)}, "competency"),
        ({"competencies": (Competency("a", "A", 60), Competency("b", "B", 30)), "questions": ONE}, "90"),
        ({"competencies": (Competency("a", "A", 50), Competency("a", "B", 50)), "questions": ONE}, "twice"),
        ({"competencies": (Competency("a", " ", 100),), "questions": ONE}, "name"),
        ({"policy": Policy(min_seconds=9999)}, "minimum"),
        ({"policy": Policy(analysis="maybe")}, "analysis"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_explained(change: dict[str, object], word: str) -> None:
    with pytest.raises(InvalidInputError, match=word):
        position.checked(replace(FORM, **change))


def test_another_department_and_other_roles_do_not_see_it(site: Site) -> None:
    made = site.position()
    other = factory.make_user(site.settings, Role.DEPARTMENT_HEAD, factory.make_department(site.settings))
    interviewer = factory.make_user(site.settings, Role.INTERVIEWER, site.department)
    for user in (other, interviewer):
        with pytest.raises(NotFoundError), transaction("staff", site.settings) as tx:
            position.change(tx, user, made, FORM)
        with pytest.raises(NotFoundError), transaction("staff", site.settings) as tx:
            position.create(tx, user, site.department, FORM)
    with pytest.raises(NotFoundError), transaction("staff", site.settings) as tx:
        position.create(tx, site.recruiter, uuid.uuid4(), FORM)


def test_each_change_is_on_the_log(site: Site) -> None:
    made = site.position()
    with transaction("staff", site.settings) as tx:
        position.change(tx, site.recruiter, made, FORM)
        position.close(tx, site.recruiter, made)
    assert site.actions("position", made) == [
        log.Action.POSITION_CREATE,
        log.Action.POSITION_CHANGE,
        log.Action.POSITION_CLOSE,
    ]
    with transaction("staff", site.settings) as tx:
        assert tx.scalar(select(position_table.c.closed_at)) is not None
