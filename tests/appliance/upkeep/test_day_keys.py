"""The list of day keys on its way to intake."""

from __future__ import annotations

import datetime as dt

import pytest

from appliance.config import Settings
from appliance.intake_folder import IntakeFolder
from appliance.keyholder.answers import plain
from appliance.keyholder.client import Keyholder
from appliance.transport import transport_of
from appliance.upkeep import day_keys
from tests.support.keyholder import running_keyholder
from tests.support.site import Site

TODAY = dt.datetime.now(dt.UTC).date()
DAY = dt.timedelta(days=1)


def at_intake(settings: Settings) -> list[str]:
    known = IntakeFolder(settings.intake_folder).day_keys()
    return [] if known is None else [key.id for key in known.keys]


def bring(settings: Settings) -> None:
    day_keys.publish(settings, transport_of(settings))


def days(first: dt.date, last: dt.date) -> list[str]:
    return [(first + n * DAY).isoformat() for n in range((last - first).days + 1)]


def test_thirty_days_lie_before_intake_from_the_first_start_on(settings: Settings) -> None:
    with running_keyholder(settings, days_ahead=30) as server:
        bring(settings)
        assert at_intake(settings) == days(TODAY, TODAY + 30 * DAY)
        status = Keyholder(settings).status()
        assert (status.day_key, status.last_day_key) == (str(TODAY), str(TODAY + 30 * DAY))
        assert server.service.locked is False
        path = settings.intake_folder / "day_keys.json"
        before = path.stat().st_ino
        bring(settings)
        assert path.stat().st_ino == before  # the same list is not written again


def test_days_move_on_while_unlocked_and_end_with_the_last_while_locked(
    settings: Settings, keyholder: Keyholder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test's keyholder makes one day ahead."""
    bring(settings)
    assert at_intake(settings) == days(TODAY, TODAY + DAY)
    monkeypatch.setattr(plain, "_today", lambda: TODAY + 3 * DAY)
    bring(settings)
    # what nobody can bind any more is not listed; but for the last one, of which a slow clock is told
    assert at_intake(settings) == [str(TODAY + DAY), *days(TODAY + 3 * DAY, TODAY + 4 * DAY)]
    keyholder.lock()
    monkeypatch.setattr(plain, "_today", lambda: TODAY + 40 * DAY)
    bring(settings)
    assert at_intake(settings) == [str(TODAY + 4 * DAY)]
    assert keyholder.status().day_key == str(TODAY + 4 * DAY)


def test_the_inside_pins_with_which_day_key_a_browser_was_bound(
    settings: Settings, keyholder: Keyholder
) -> None:
    from appliance.tables import browser_key

    site = Site(settings, keyholder)
    bring(settings)
    [made] = site.invite()
    site.run_jobs()
    site.begun(made)
    site.pull()
    [pinned] = site.rows(browser_key, attempt_id=made)
    assert pinned.day_key_id == str(dt.datetime.now(dt.UTC).date())
