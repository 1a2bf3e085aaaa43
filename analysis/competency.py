"""Competency models and the score that ratings add up to. Pure arithmetic, no I/O.

A model has one or two levels: competencies, each with indicators or with none. Weights are whole percent;
those of the competencies total 100, and so do those of the indicators within one competency. A person rates
each item that has nothing below it, on the model's scale. The score is the weighted mean of the ratings,
computed exactly; where a rating is missing there is no score, and the missing items are named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

WHOLE = 100
LOWEST, HIGHEST = 1, 5


class CompetencyError(ValueError):
    """A model or a rating is not valid. `reason` is stable; `params` name what is wrong."""

    def __init__(self, reason: str, **params: object) -> None:
        super().__init__(f"{reason} {params}")
        self.reason = reason
        self.params = params


@dataclass(frozen=True)
class Item:
    """A competency, or an indicator of one; weight in percent of what it is part of."""

    id: str
    name: str
    weight: int
    indicators: tuple[Item, ...] = ()


@dataclass(frozen=True)
class Part:
    """What one rated item adds to the score."""

    id: str
    rating: Fraction
    share: Fraction  # of the whole score, 0 … 1

    @property
    def contribution(self) -> Fraction:
        """Rating times share, on the model's scale."""
        return self.rating * self.share


@dataclass(frozen=True)
class Score:
    """`value` on the model's scale; None with the ids of `missing` ratings when it is void."""

    value: Fraction | None
    parts: tuple[Part, ...]
    missing: tuple[str, ...]

    @property
    def percent(self) -> Fraction | None:
        """The score as a part of the scale: 0 at its lowest, 100 at its highest."""
        if self.value is None:
            return None
        return (self.value - LOWEST) * WHOLE / (HIGHEST - LOWEST)


def read_model(raw: Sequence[Mapping[str, Any]]) -> tuple[Item, ...]:
    """Check a model as it is stored (a list of competencies). Raises CompetencyError.

    reasons: `shape`, `name`, `duplicate`, `weight`, `total`, `depth`.
    """
    items = tuple(_read_item(entry, depth=0) for entry in raw)
    if not items:
        return ()
    _check_total(items, "")
    ids = [leaf.id for item in items for leaf in (item, *item.indicators)]
    for name in ids:
        if ids.count(name) > 1:
            raise CompetencyError("duplicate", id=name)
    return items


def _read_item(entry: Mapping[str, Any], depth: int) -> Item:
    try:
        name, weight = entry["name"], entry["weight"]
        item_id, below = entry["id"], entry.get("indicators") or ()
    except (KeyError, TypeError, AttributeError) as error:
        raise CompetencyError("shape", what=str(error)) from error
    if not (isinstance(name, str) and name.strip() and isinstance(item_id, str) and item_id):
        raise CompetencyError("name", id=str(item_id))
    if not isinstance(weight, int) or isinstance(weight, bool) or not 0 < weight <= WHOLE:
        raise CompetencyError("weight", id=item_id)
    if below and depth:
        raise CompetencyError("depth", id=item_id)
    indicators = tuple(_read_item(each, depth + 1) for each in below)
    if indicators:
        _check_total(indicators, item_id)
    return Item(item_id, name.strip(), weight, indicators)


def _check_total(items: Sequence[Item], parent: str) -> None:
    total = sum(item.weight for item in items)
    if total != WHOLE:
        raise CompetencyError("total", id=parent, total=total)


def shares(model: Sequence[Item]) -> dict[str, Fraction]:
    """Each item that is rated, with its share of the whole score; the shares total exactly 1."""
    found: dict[str, Fraction] = {}
    for item in model:
        share = Fraction(item.weight, WHOLE)
        if not item.indicators:
            found[item.id] = share
        for indicator in item.indicators:
            found[indicator.id] = share * Fraction(indicator.weight, WHOLE)
    return found


def score(model: Sequence[Item], ratings: Mapping[str, int | Fraction | None]) -> Score:
    """The weighted mean of `ratings` (item id → level). Raises CompetencyError for a rating off the scale."""
    parts, missing = [], []
    for item_id, share in shares(model).items():
        rating = ratings.get(item_id)
        if rating is None:
            missing.append(item_id)
            continue
        if not LOWEST <= rating <= HIGHEST:
            raise CompetencyError("rating", id=item_id, rating=str(rating))
        parts.append(Part(item_id, Fraction(rating), share))
    value = sum((part.contribution for part in parts), Fraction(0)) if parts and not missing else None
    return Score(value, tuple(parts), tuple(missing))
