"""When a day key is needed no more. Pure: days, attempts and the time in; ids out.

A key is in use from its day until that of the next published one: as a rule one day, and longer where the
vault stayed locked. Whatever could have been bound then may be sealed to it, and whatever names it. Forward
secrecy is as long as this rule holds a key: docs/keys.md says so.
"""

from __future__ import annotations

import bisect
import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# How far the clocks of intake and of the inside may be apart without a key being missed.
MARGIN = dt.timedelta(days=1)


@dataclass(frozen=True)
class Span:
    """When a day key is in use; `ends` is None for the last one, which stays so."""

    id: str
    begins: dt.datetime
    ends: dt.datetime | None


@dataclass(frozen=True)
class Holder:
    """An attempt of which something may still be waiting to be opened.

    `begins`: when it was invited; `closes`: the latest deadline it was ever given, and the upload grace;
    `named`: ids of the day keys in its packets, and of those with which intake says it was bound.
    """

    begins: dt.datetime
    closes: dt.datetime
    named: frozenset[str] = frozenset()


def spans(ids: Iterable[str], published: Iterable[str]) -> list[Span]:
    """Each of these keys with its time, oldest first; ids are days (YYYY-MM-DD)."""
    steps = sorted(published)
    found = []
    for each in sorted(ids):
        later = bisect.bisect_right(steps, each)
        found.append(Span(each, _moment(each), _moment(steps[later]) if later < len(steps) else None))
    return found


def needs(holder: Holder, span: Span) -> bool:
    """Whether something of this attempt may be sealed to this key."""
    if span.id in holder.named:
        return True
    before_its_end = span.ends is None or holder.begins < span.ends + MARGIN
    return before_its_end and holder.closes > span.begins - MARGIN


def idle(
    ids: Iterable[str], published: Iterable[str], holders: Sequence[Holder], now: dt.datetime
) -> list[str]:
    """The keys that are out of use and that nothing needs, oldest first."""
    return [
        span.id
        for span in spans(ids, published)
        if span.ends is not None
        and span.ends + MARGIN <= now
        and not any(needs(holder, span) for holder in holders)
    ]


def _moment(day: str) -> dt.datetime:
    return dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC)
