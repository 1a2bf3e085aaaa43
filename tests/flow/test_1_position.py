"""Position: the recruiter signs in by the one-time link and says what is asked and what is judged."""

from __future__ import annotations

import uuid

from appliance.audit.log import Action
from appliance.tables import position, question
from tests.flow.desk import Desk
from tests.flow.fixtures import QUESTIONS, Hired
from tests.flow.rows import actions, rows
from tests.support.product import Product


def test_the_link_signed_in_once(live: Product, recruiter: Desk, hired: Hired) -> None:
    again = recruiter.post(hired.link_used.removeprefix(live.settings.staff_url))
    assert again.status == 401
    assert "Set-Cookie" not in again.headers


def test_the_page_shows_questions_hints_and_weights(recruiter: Desk, hired: Hired) -> None:
    page = recruiter.get(hired.english).text
    for text, *_, hint in QUESTIONS:
        assert text in page
        assert hint in page
    assert "60 %" in page
    assert "version 1" in page


def test_what_was_typed_in_the_browser_is_what_is_kept(live: Product, hired: Hired) -> None:
    made = uuid.UUID(hired.english.rsplit("/", 1)[1])
    [row] = rows(live, position, id=made)
    assert [(part["name"], part["weight"]) for part in row.competency_model] == [
        ("Delivery", 60),
        ("Clarity", 40),
    ]
    kept = sorted(rows(live, question, position_id=made), key=lambda each: each.ordinal)
    assert [(each.text, each.prep_seconds, each.answer_seconds, each.hint) for each in kept] == QUESTIONS
    assert actions(live, "position", made)[0] == Action.POSITION_CREATE
