"""One page of a list, and how many there are in all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Row, Select, func, select

T = TypeVar("T")
LARGEST = 200


@dataclass(frozen=True)
class Page(Generic[T]):
    """`number` counts from 1; `total` is the count over all pages."""

    rows: Sequence[T]
    total: int
    number: int
    size: int

    @property
    def first(self) -> int:
        return (self.number - 1) * self.size + 1 if self.rows else 0

    @property
    def last(self) -> int:
        return (self.number - 1) * self.size + len(self.rows)


def page_of(
    tx: Connection, query: Select[Any], number: int, size: int, make: Callable[[Row[Any]], T]
) -> Page[T]:
    """Run an ordered select for one page; a number past the end gives the last page."""
    total = tx.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0
    number, size = within(total, number, size)
    rows = tx.execute(query.limit(size).offset((number - 1) * size)).all()
    return Page([make(row) for row in rows], total, number, size)


def within(total: int, number: int, size: int) -> tuple[int, int]:
    """The page's number and size that can be had of `total` rows."""
    size = min(max(size, 1), LARGEST)
    return min(max(number, 1), max(1, -(-total // size))), size


def like(text: str) -> str:
    """A pattern that finds `text` anywhere, with its own % and _ taken literally."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
