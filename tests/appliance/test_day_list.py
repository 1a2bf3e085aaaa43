"""The signed list of day keys: what is none is refused, and whatever the clock says a key is due."""

from __future__ import annotations

import base64
import datetime as dt
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.day_list import DayList, day_list_statement, day_of, due, parse_day_list
from appliance.packet import DayKey, Packet, PacketError, sign_envelope
from tests.support.intake_site import IntakeSite

VAULT = uuid.UUID(int=7)
POINT = b"\x04" * 65


def key(day: dt.date | str) -> DayKey:
    return DayKey(str(day), POINT)


@pytest.fixture(scope="module")
def packet(tmp_path_factory: pytest.TempPathFactory) -> Packet:
    return replace(IntakeSite(tmp_path_factory.mktemp("data")).packet()[0], vault=VAULT)


def test_a_list_survives_its_signed_form() -> None:
    keys = tuple(key(f"2026-11-{day}") for day in (20, 21, 22))
    assert parse_day_list(day_list_statement(VAULT, keys)) == DayList(VAULT, keys)


PUBLIC = base64.b64encode(POINT).decode()
UNSOUND: dict[str, Any] = {
    "none": [],
    "not a list": 7,
    "too many": [{"id": f"2{n:03}-01-01", "public": PUBLIC} for n in range(401)],
    "no day": [{"id": "today", "public": PUBLIC}],
    "twice": [{"id": "2026-11-21", "public": PUBLIC}] * 2,
    "backwards": [{"id": "2026-11-22", "public": PUBLIC}, {"id": "2026-11-21", "public": PUBLIC}],
    "short point": [{"id": "2026-11-21", "public": PUBLIC[:-4]}],
    "no base64": [{"id": "2026-11-21", "public": "é" * 88}],
    "no public half": [{"id": "2026-11-21"}],
    "a number for a day": [{"id": 20261121, "public": PUBLIC}],
}


@pytest.mark.parametrize("case", UNSOUND)
def test_what_is_no_list_is_refused(case: str) -> None:
    statement = day_list_statement(VAULT, []) | {"keys": UNSOUND[case]}
    with pytest.raises(PacketError):
        parse_day_list(statement)


DATES = st.dates(dt.date(2026, 1, 1), dt.date(2026, 12, 31))
CLOCKS = st.floats(-1e9, 3e9).map(lambda seconds: dt.datetime.fromtimestamp(seconds, dt.UTC))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(days=st.sets(DATES, min_size=1, max_size=40), own=DATES, now=CLOCKS)
def test_a_key_is_due_at_whatever_the_clock_says(
    packet: Packet, days: set[dt.date], own: dt.date, now: dt.datetime
) -> None:
    """The newest whose day has come; before them all the first, and never one of a day to come but then."""
    listed = DayList(VAULT, tuple(key(day) for day in sorted(days)))
    chosen = due(replace(packet, day_key=key(own)), listed, now).id
    known = sorted({str(day) for day in (*days, own)})
    assert chosen in known
    later = [day for day in known if chosen < day <= day_of(now)]
    assert not later
    assert chosen <= day_of(now) or chosen == known[0]


def test_without_a_list_of_its_vault_a_packets_own_key_serves(packet: Packet) -> None:
    now = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)
    assert due(packet, None, now) == packet.day_key
    assert due(packet, DayList(uuid.uuid4(), (key("2026-11-25"),)), now) == packet.day_key


def test_a_newer_packet_beats_a_list_that_has_not_come_yet(packet: Packet) -> None:
    """After a long lock: the packet of today names today's key before the list does."""
    listed = DayList(VAULT, (key("2026-11-01"), key("2026-11-02")))
    now = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)
    assert due(replace(packet, day_key=key("2026-11-25")), listed, now).id == "2026-11-25"
    assert due(replace(packet, day_key=key("2026-10-01")), listed, now).id == "2026-11-02"


def test_intake_takes_and_keeps_only_a_genuine_list(tmp_path: Path) -> None:
    site = IntakeSite(tmp_path)
    assert site.folder.day_keys() is None
    listed = site.list_days("2026-11-20", "2026-11-21")
    known = DayList(site.vault, tuple(listed.values()))
    assert site.folder.day_keys() == known
    stranger = IntakeSite(tmp_path / "other")
    forged = sign_envelope(day_list_statement(site.vault, listed.values()), "service-1", stranger.service_key)
    for raw in (forged, site.sign(site.packet()[0]), b"{}", b""):
        with pytest.raises(PacketError):
            site.folder.put_day_keys(raw)
        assert site.folder.day_keys() == known
    path = site.folder.root / "day_keys.json"
    for raw in (forged, b"{}", b"\xff"):
        path.write_bytes(raw)
        assert site.folder.day_keys() is None
    path.unlink()
    path.symlink_to("/etc/passwd")
    assert site.folder.day_keys() is None
