"""Bulk use of keys: refused with a time to come back, counted, and an alarm; no clock that is set helps."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import outages
from appliance.config import Settings, UseLimitSettings
from appliance.domain import Owner, OwnerKind, Role, User
from appliance.errors import TooManyKeysError
from appliance.keyholder.client import Keyholder
from appliance.keyholder.server import Server
from appliance.keyholder.use_limits import WINDOW_SECONDS, UseLimits
from tests.support import factory
from tests.support.keyholder import journal_lines, running_keyholder

ONE, TWO, THREE = (uuid.UUID(int=n) for n in (1, 2, 3))
CHEN, LIN = "00000000-0000-4000-8000-00000000000c", "00000000-0000-4000-8000-00000000000d"


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def limits(person: int = 2, staff: int = 3) -> tuple[UseLimits, Time]:
    time = Time()
    return UseLimits(person, {"staff": staff, "worker": 100}, time), time


def test_distinct_recordings_are_counted_in_a_window_that_slides() -> None:
    made, time = limits()
    assert made.ask(ONE, "staff", CHEN) is None
    time.now += 1000
    for _ in range(50):  # the same again is no further one
        assert made.ask(TWO, "staff", CHEN) is None
    refused = made.ask(THREE, "staff", CHEN)
    assert refused is not None
    assert (refused.who, refused.limit, refused.seconds) == (CHEN, 2, 2600)
    time.now += refused.seconds
    assert made.ask(THREE, "staff", CHEN) is None


def test_each_person_has_their_own_and_all_share_their_units() -> None:
    made, _ = limits()
    for owner in (ONE, TWO):
        assert made.ask(owner, "staff", CHEN) is None
    assert made.ask(THREE, "staff", LIN) is None
    refused = made.ask(uuid.UUID(int=4), "staff", LIN)
    assert refused is not None
    assert refused.who == "staff"
    assert made.ask(uuid.UUID(int=4), "worker") is None
    assert made.ask(ONE, "staff", LIN) is None  # nothing was counted by the refusal


def test_one_alarm_for_each_time_the_limit_is_reached() -> None:
    made, time = limits()
    firsts = []
    for round_ in range(2):
        for owner in (ONE, TWO):
            assert made.ask(owner, "staff", CHEN) is None
        for n in range(3):
            refused = made.ask(uuid.UUID(int=100 + n), "staff", CHEN)
            assert refused is not None
            firsts.append(refused.first)
        time.now += WINDOW_SECONDS * (round_ + 1)
    assert firsts == [True, False, False] * 2


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2000)), max_size=60), st.integers(1, 4))
def test_no_window_ever_holds_more_than_the_limit(steps: list[tuple[int, int]], limit: int) -> None:
    """Against the plain model: distinct owners whose last use is less than an hour ago."""
    made, time = limits(person=limit, staff=10**6)
    last: dict[int, float] = {}
    for owner, later in steps:
        time.now += later
        live = {each for each, at in last.items() if at > time.now - WINDOW_SECONDS}
        allowed = made.ask(uuid.UUID(int=owner), "staff", CHEN) is None
        assert allowed == (owner in live or len(live) < limit)
        if allowed:
            last[owner] = time.now


# --- the keyholder ------------------------------------------------------------------------------------------


@pytest.fixture
def strict(settings: Settings) -> Settings:
    allowed = UseLimitSettings(
        replay_recordings_per_hour=2, staff_recordings_per_hour=3, worker_recordings_per_hour=4
    )
    return replace(settings, keyholder=allowed)


@pytest.fixture
def server(strict: Settings) -> Iterator[Server]:
    with running_keyholder(strict) as running:
        yield running


def sealed(settings: Settings, server: Server, department: uuid.UUID) -> tuple[uuid.UUID, bytes]:
    """A recording and the header of one of its files, made without asking for any key."""
    made = factory.make_attempt(settings, department, state="sealed")
    tree = server.service.desk.custody.tree
    tree.create_recording_key(made, department, 2026)
    return made, tree.new_file_key(made, "track", "camera")[0].raw


def opened(settings: Settings, user: User, made: uuid.UUID, header: bytes) -> list[bytes]:
    _, event = factory.open_view(settings, user, made)
    return Keyholder(settings).file_keys(made, event.id, "replay", [header])


def test_who_opens_too_many_has_to_wait_and_others_go_on(
    strict: Settings, server: Server, department: uuid.UUID
) -> None:
    chen = factory.make_user(strict, Role.RECRUITER)
    files = [sealed(strict, server, department) for _ in range(4)]
    for made, header in files[:2]:
        assert opened(strict, chen, made, header)
    for made, header in files[2:]:
        with pytest.raises(TooManyKeysError) as caught:
            opened(strict, chen, made, header)
    assert 0 < int(str(caught.value.params["seconds"])) <= WINDOW_SECONDS
    assert opened(strict, chen, *files[0])  # what is open stays open
    assert opened(strict, factory.make_user(strict, Role.RECRUITER), *files[2])

    lines = [json.loads(line) for line in journal_lines(strict)]
    refusals = [line for line in lines if line.get("refused") == "too many recordings"]
    assert [line["owner"] for line in refusals] == [str(made) for made, _ in files[2:]]
    [alarm] = Keyholder(strict).alarms()
    about = {"who": str(chen.account_id), "person": str(chen.account_id), "unit": "staff", "limit": 2}
    assert (alarm.kind, alarm.about) == ("bulk_use", about)
    assert Keyholder(strict).status().alarms == ("bulk_use",)


def test_a_unit_as_a_whole_is_limited_too(strict: Settings, server: Server, department: uuid.UUID) -> None:
    files = [sealed(strict, server, department) for _ in range(5)]
    for made, _ in files:
        factory.set_analysis(strict, made, "running")

    def read(made: uuid.UUID, header: bytes) -> list[bytes]:
        event = factory.worker_event(strict, made, "analyse")
        return Keyholder(strict).file_keys(made, event.id, "analyse", [header])

    for made, header in files[:4]:
        assert read(made, header)
    with pytest.raises(TooManyKeysError) as caught:
        read(*files[4])
    assert outages.reason(caught.value) == "too_many_keys"  # so a job waits, and fails not
    assert outages.WAIT_SECONDS["too_many_keys"] > 0


def test_documents_count_like_recordings(strict: Settings, server: Server, department: uuid.UUID) -> None:
    from appliance.audit import log
    from appliance.database import transaction

    chen = factory.make_user(strict, Role.RECRUITER)
    limits_of: Any = server.service.desk.limits
    for n in range(2):
        assert limits_of.ask(uuid.UUID(int=n), "staff", str(chen.account_id)) is None
    made, _ = sealed(strict, server, department)
    owner = Owner(OwnerKind.RECORDING, made)
    name = f"note-{uuid.uuid4()}"
    until = "2999-01-01T00:00:00.000Z"
    with transaction("staff", strict) as tx:
        details = {"recording": str(made), "purpose": "note", "unit": "staff", "documents": [name]}
        event = log.append(
            tx, log.Action.NOTE_KEEP, log.Actor.of(chen), "recording", made,
            details={**details, "expires": until},
        )  # fmt: skip
    with pytest.raises(TooManyKeysError):
        Keyholder(strict).new_document_key(owner, event.id, name)


def test_every_day_use_never_meets_the_limits(settings: Settings) -> None:
    """Generous by default: an hour of a person, a night of a backlog."""
    allowed = settings.keyholder
    assert allowed.replay_recordings_per_hour >= 100
    assert allowed.worker_recordings_per_hour >= 20_000
