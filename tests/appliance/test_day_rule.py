"""When a day key is needed no more: the rule by itself, one case at a time."""

from __future__ import annotations

import datetime as dt

import pytest

from appliance.keyholder.day_rule import MARGIN, Holder, idle, spans

DAYS = [f"2026-11-{day:02}" for day in range(1, 13)]


def at(day: int, hour: int = 0) -> dt.datetime:
    return dt.datetime(2026, 11, day, hour, tzinfo=dt.UTC)


def left(holder: Holder | None, now: dt.datetime) -> list[int]:
    """The days of the keys that stay because of one attempt."""
    gone = idle(DAYS, DAYS, [holder] if holder else [], now)
    return [int(day[-2:]) for day in DAYS if day not in gone]


def test_without_anything_waiting_only_the_last_days_stay() -> None:
    """Yesterday's, for a clock that is late; the last one, which stays in use while it is the last."""
    assert left(None, at(10, 12)) == [9, 10, 11, 12]
    assert left(None, at(28)) == [12]
    assert idle(["2026-11-01"], ["2026-11-01"], [], at(28)) == []


@pytest.mark.parametrize(
    ("begins", "closes", "held"),
    [
        (at(5), at(7), [4, 5, 6, 7]),  # with a day on both sides, for clocks
        (at(5, 23), at(6, 1), [4, 5, 6, 7]),
        (at(5, 1), at(5, 2), [4, 5, 6]),
        (at(1), at(30), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    ],
)
def test_what_could_have_been_bound_in_a_keys_time_holds_it(
    begins: dt.datetime, closes: dt.datetime, held: list[int]
) -> None:
    assert left(Holder(begins, closes), at(28)) == sorted({*held, 12})


def test_what_an_attempt_names_it_holds_whatever_the_clocks_said() -> None:
    holder = Holder(at(5, 6), at(5, 7), frozenset({"2026-11-01", "2026-11-09"}))
    assert left(holder, at(28)) == [1, 4, 5, 6, 9, 12]


def test_a_key_that_stayed_in_use_for_days_is_held_by_what_was_bound_in_them() -> None:
    """No key was published from the 4th to the 8th, as while the vault was locked for long."""
    published = [day for day in DAYS if not "2026-11-04" <= day <= "2026-11-08"]
    holder = Holder(at(7), at(8))
    kept = set(published) - set(idle(published, published, [holder], at(28)))
    assert kept == {"2026-11-03", "2026-11-12"}
    assert spans(["2026-11-03"], published)[0].ends == at(9)


def test_a_key_that_was_made_but_not_published_ends_no_other() -> None:
    assert spans(["2026-11-03"], ["2026-11-03", "2026-11-09"])[0].ends == at(9)
    unpublished = spans(["2026-11-05"], ["2026-11-03", "2026-11-09"])[0]
    assert (unpublished.begins, unpublished.ends) == (at(5), at(9))


def test_the_margin_is_that_of_the_clocks() -> None:
    edge = Holder(at(6) + MARGIN, at(20))
    assert "2026-11-05" in idle(DAYS, DAYS, [edge], at(28))
    inside = Holder(at(6) + MARGIN - dt.timedelta(seconds=1), at(20))
    assert "2026-11-05" not in idle(DAYS, DAYS, [inside], at(28))
