"""Which day key a link is bound with: intake's clock says, and then it stays to the link's end."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from appliance.intake_folder import IntakeFolder
from appliance.packet import DayKey, Packet
from appliance.stages import checkin
from storage.vault import parse_opening
from tests.support.candidate import Candidate, b64, flask_call
from tests.support.intake_site import IntakeSite
from webui.intake.app import create_app

TODAY = datetime.now(UTC)


def day(offset: int) -> str:
    return (TODAY + timedelta(days=offset)).date().isoformat()


@pytest.fixture
def listed(site: IntakeSite) -> dict[str, DayKey]:
    return site.list_days(*(day(offset) for offset in range(-1, 6)))


@pytest.fixture
def invited(site: IntakeSite, client: FlaskClient, listed: dict[str, DayKey]) -> tuple[Packet, Candidate]:
    own = replace(site.day_key, id=day(-30))  # a packet that was sent long ago
    packet, secret = site.invite(deadline=TODAY + timedelta(days=40), day_key=own)
    return packet, Candidate(flask_call(client), packet.recording, secret)


def clock(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    """What intake's machine takes the time to be."""
    monkeypatch.setattr(checkin, "_now", lambda: TODAY + timedelta(days=days))


def recorded_with(candidate: Candidate, track: str = "camera") -> str:
    """The day key of a new epoch, which intake takes."""
    epoch = candidate.epoch(track)
    assert candidate.put(epoch, epoch.chunk(b"sealed"))[0] == 201
    return epoch.writer.opening.day_key_id


def test_begin_gives_the_day_key_and_it_stays(
    site: IntakeSite,
    invited: tuple[Packet, Candidate],
    listed: dict[str, DayKey],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over a reload, another tab, a second epoch, a restart of intake, midnight and a newer list."""
    _, candidate = invited
    status, answer = candidate.begin()
    assert (status, answer["day_key"]["id"]) == (200, day(0))
    assert answer["day_key"]["public"] == b64(listed[day(0)].public)
    assert answer["packet"]["day_key"] == answer["day_key"]  # where a page of an earlier release looks
    assert candidate.consent()[0] == 200
    assert recorded_with(candidate) == day(0)

    clock(monkeypatch, 4)
    site.list_days(*(day(offset) for offset in range(3, 9)))
    assert candidate.api("GET", "/state")[1]["day_key"] == answer["day_key"]
    first = candidate.token
    assert candidate.begin()[1]["day_key"] == answer["day_key"]
    assert candidate.token != first
    assert recorded_with(candidate) == day(0)
    candidate.call = flask_call(create_app(site.settings).test_client(use_cookies=False))
    assert candidate.api("GET", "/state")[1]["day_key"] == answer["day_key"]
    assert recorded_with(candidate) == day(0)


def test_a_further_link_is_bound_with_that_days_key_and_what_waits_is_still_taken(
    site: IntakeSite, invited: tuple[Packet, Candidate], monkeypatch: pytest.MonkeyPatch
) -> None:
    packet, candidate = invited
    assert candidate.begin()[0] == 200
    assert candidate.consent()[0] == 200
    waits = candidate.epoch()
    clock(monkeypatch, 3)
    _, candidate.secret = site.reinvite(packet)
    assert candidate.begin()[1]["day_key"]["id"] == day(3)
    assert recorded_with(candidate) == day(3)
    assert candidate.put(waits, waits.chunk(b"from the day before"))[0] == 201


@pytest.mark.parametrize(
    ("days", "expected"),
    [(0, 0), (1, 1), (5, 5), (6, 5), (39, 5), (-1, -1), (-2, -30), (-400, -30)],
)
def test_whatever_intakes_clock_says_nobody_is_refused_for_want_of_a_key(
    invited: tuple[Packet, Candidate], monkeypatch: pytest.MonkeyPatch, days: int, expected: int
) -> None:
    """Past the last day the last key stays in use; a clock that leapt back finds an earlier one."""
    _, candidate = invited
    clock(monkeypatch, days)
    assert candidate.begin()[1]["day_key"]["id"] == day(expected)


def test_without_a_list_the_packets_key_serves_to_its_end(
    site: IntakeSite, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    packet, secret = site.invite()
    candidate = Candidate(flask_call(client), packet.recording, secret)
    assert candidate.begin()[1]["day_key"]["id"] == packet.day_key.id
    assert candidate.consent()[0] == 200
    site.list_days(day(0))
    assert candidate.begin()[1]["day_key"]["id"] == packet.day_key.id
    assert recorded_with(candidate) == packet.day_key.id


def test_an_attempt_bound_before_there_were_lists_goes_on_with_its_packets_key(
    site: IntakeSite, invited: tuple[Packet, Candidate]
) -> None:
    """Records of an earlier release name no day key, and its pages look for it in the packet."""
    packet, candidate = invited
    assert candidate.begin()[0] == 200
    log = site.folder.root / "recordings" / str(packet.recording) / "records.log"
    bound = json.loads(log.read_bytes())
    del bound["body"]["day_key"]
    log.write_text(json.dumps(bound) + "\n")
    candidate.call = flask_call(create_app(site.settings).test_client(use_cookies=False))
    answer: dict[str, Any] = candidate.api("GET", "/state")[1]
    assert answer["packet"]["day_key"]["id"] == answer["day_key"]["id"] == packet.day_key.id
    assert candidate.begin()[1]["day_key"]["id"] == packet.day_key.id
    assert candidate.consent()[0] == 200
    assert recorded_with(candidate) == packet.day_key.id


def test_another_key_than_the_bound_one_is_refused(
    invited: tuple[Packet, Candidate], listed: dict[str, DayKey]
) -> None:
    """Also a genuine one of another day: it would be destroyed by the rules of that day."""
    _, candidate = invited
    assert candidate.begin()[0] == 200
    assert candidate.consent()[0] == 200
    other = listed[day(1)]
    epoch = candidate.epoch(day_key_id=other.id, recipients={other.id: other.public})
    status, answer = candidate.put(epoch, epoch.chunk(b"x"))
    assert (status, answer["code"]) == (422, "bad_opening")


def test_a_list_that_is_not_genuine_counts_for_nothing(
    site: IntakeSite, invited: tuple[Packet, Candidate]
) -> None:
    packet, candidate = invited
    path = site.folder.root / "day_keys.json"
    path.write_bytes(path.read_bytes().replace(day(0).encode(), day(9).encode()))
    assert candidate.begin()[1]["day_key"]["id"] == packet.day_key.id


def test_what_was_bound_stands_in_the_record_for_the_inside(
    site: IntakeSite, invited: tuple[Packet, Candidate], listed: dict[str, DayKey]
) -> None:
    packet, candidate = invited
    candidate.begin()
    [bound] = IntakeFolder(site.folder.root).records(packet.recording)
    assert bound.body["day_key"] == {"id": day(0), "public": b64(listed[day(0)].public)}
    assert parse_opening(candidate.epoch().writer.opening.raw).day_key_id == day(0)
