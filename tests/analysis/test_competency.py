"""Competency models: what is refused, and scores that anyone can recompute."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.competency import CompetencyError, read_model, score, shares


def item(name, weight, *indicators):
    return {"id": name, "name": name.title(), "weight": weight, "indicators": list(indicators)}


TWO_LEVELS = [
    item("communication", 30, item("logic", 50), item("warmth", 20), item("listening", 30)),
    item("solving", 40),
    item("knowledge", 30),
]


def test_a_two_level_score_is_the_weighted_mean_of_the_ratings():
    model = read_model(TWO_LEVELS)
    assert shares(model) == {
        "logic": Fraction(15, 100),
        "warmth": Fraction(6, 100),
        "listening": Fraction(9, 100),
        "solving": Fraction(40, 100),
        "knowledge": Fraction(30, 100),
    }
    result = score(model, {"logic": 4, "warmth": 3, "listening": 5, "solving": 2, "knowledge": 4})
    assert result.value == Fraction(4 * 15 + 3 * 6 + 5 * 9 + 2 * 40 + 4 * 30, 100)
    assert sum(part.contribution for part in result.parts) == result.value
    assert result.percent == (result.value - 1) * 25


def test_a_missing_rating_voids_the_score_and_is_named():
    result = score(read_model(TWO_LEVELS), {"solving": 2, "knowledge": None})
    assert (result.value, result.percent) == (None, None)
    assert result.missing == ("logic", "warmth", "listening", "knowledge")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ([item("a", 50), item("b", 40)], "total"),
        ([item("a", 100, item("b", 50))], "total"),
        ([item("a", 0), item("b", 100)], "weight"),
        ([item("a", 100.0)], "weight"),
        ([item("a", True)], "weight"),
        ([item("a", 50), item("a", 50)], "duplicate"),
        ([item("a", 100, item("a", 100))], "duplicate"),
        ([item("a", 100, item("b", 100, item("c", 100)))], "depth"),
        ([{"id": "a", "weight": 100}], "shape"),
        (["a"], "shape"),
        ([{"id": "a", "name": " ", "weight": 100}], "name"),
    ],
)
def test_a_model_that_does_not_add_up_is_refused_by_reason(model, reason):
    with pytest.raises(CompetencyError) as error:
        read_model(model)
    assert error.value.reason == reason


@pytest.mark.parametrize("rating", [0, 6, -1, Fraction(51, 10)])
def test_a_rating_off_the_scale_is_refused(rating):
    with pytest.raises(CompetencyError):
        score(read_model([item("a", 100)]), {"a": rating})


@given(st.lists(st.integers(1, 5), min_size=5, max_size=5))
def test_a_score_lies_between_the_lowest_and_the_highest_rating(levels):
    model = read_model(TWO_LEVELS)
    result = score(model, dict(zip(shares(model), levels, strict=True)))
    assert min(levels) <= result.value <= max(levels)
    assert sum(shares(model).values()) == 1


def test_no_model_gives_no_score():
    assert score(read_model([]), {}).value is None
