"""Which events open keys and which do not."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text, update

from appliance.audit import log
from appliance.audit.log import Action, Actor, AuditEvent
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import User
from appliance.errors import DatabaseDownError, KeyRefusedError
from appliance.keyholder.client import Keyholder
from appliance.tables import replay_view
from tests.support import factory, postgres


def by_staff(settings: Settings, recording: uuid.UUID, outcome: str = "ok", **changes: str) -> AuditEvent:
    until = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    details = log.key_use(recording, "seal", "worker", until) | changes
    with transaction("staff", settings) as tx:
        return log.append(
            tx, Action.SEAL_RUN, Actor.unit("staff"), "recording", recording, outcome, details=details
        )


REFUSED: dict[str, Callable[[Settings, uuid.UUID], AuditEvent]] = {
    "expired": lambda s, r: factory.worker_event(s, r, "seal", seconds=-0.001),
    "no expiry": lambda s, r: factory.worker_event(s, r, "seal", expires=""),
    "expiry without zone": lambda s, r: factory.worker_event(s, r, "seal", expires="2999-01-01T00:00:00"),
    "another recording": lambda s, r: factory.worker_event(s, uuid.uuid4(), "seal"),
    "another purpose": lambda s, r: factory.worker_event(s, r, "analyse"),
    "purpose claimed under another action": lambda s, r: factory.worker_event(
        s, r, "analyse", purpose="seal"
    ),
    "another unit named": lambda s, r: factory.worker_event(s, r, "seal", unit="staff"),
    "written by another unit": by_staff,
    "denied": lambda s, r: by_staff(s, r, outcome="denied"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_event_that_says_something_else_opens_nothing(
    settings: Settings, keyholder: Keyholder, recording: uuid.UUID, header: bytes, case: str
) -> None:
    event = REFUSED[case](settings, recording)
    with pytest.raises(KeyRefusedError):
        keyholder.file_keys(recording, event.id, "seal", [header])


def test_a_live_event_opens_the_files_of_its_recording_only(
    settings: Settings, keyholder: Keyholder, recording: uuid.UUID, department: uuid.UUID, header: bytes
) -> None:
    event = factory.worker_event(settings, recording, "analyse")
    assert len(keyholder.file_keys(recording, event.id, "analyse", [header])[0]) == 32
    other = factory.make_attempt(settings, department, state="sealing")
    seal = factory.worker_event(settings, other, "seal")
    keyholder.create_recording_key(other, department, 2026, seal.id)
    ((foreign, _),) = keyholder.new_file_keys(other, seal.id, "seal", [("track", "camera")])
    with pytest.raises(KeyRefusedError):
        keyholder.file_keys(recording, event.id, "analyse", [header, foreign])


@pytest.mark.parametrize("state", ["collecting", "sealed", "failed"])
def test_a_seal_event_opens_nothing_unless_the_recording_is_being_sealed(
    settings: Settings, keyholder: Keyholder, recording: uuid.UUID, department: uuid.UUID, header: bytes,
    state: str,
) -> None:  # fmt: skip
    event = factory.worker_event(settings, recording, "seal")
    asked: list[Callable[[], object]] = [
        lambda: keyholder.create_recording_key(recording, department, 2026, event.id),
        lambda: keyholder.file_keys(recording, event.id, "seal", [header]),
        lambda: keyholder.new_file_keys(recording, event.id, "seal", [("track", "camera")]),
        lambda: keyholder.epoch_keys(recording, event.id, "seal", []),
    ]
    for ask in asked:
        ask()
    factory.set_state(settings, recording, state)
    for ask in asked:
        with pytest.raises(KeyRefusedError) as caught:
            ask()
        assert caught.value.params["reason"] == "the recording is not being sealed"


@pytest.mark.parametrize("state", ["queued", "done", "failed", "skipped", "cancelled"])
def test_an_analyse_event_opens_nothing_unless_the_analysis_runs(
    settings: Settings, keyholder: Keyholder, recording: uuid.UUID, header: bytes, state: str
) -> None:
    event = factory.worker_event(settings, recording, "analyse")
    asked: list[Callable[[], object]] = [
        lambda: keyholder.file_keys(recording, event.id, "analyse", [header]),
        lambda: keyholder.new_file_keys(recording, event.id, "analyse", [("document", "report")]),
    ]
    for ask in asked:
        ask()
    factory.set_analysis(settings, recording, state)
    for ask in asked:
        with pytest.raises(KeyRefusedError) as caught:
            ask()
        assert caught.value.params["reason"] == "the recording is not being analysed"


def test_an_event_counts_only_once_it_is_committed(
    settings: Settings, keyholder: Keyholder, recording: uuid.UUID, header: bytes
) -> None:
    details = log.key_use(recording, "seal", "worker", dt.datetime.now(dt.UTC) + dt.timedelta(minutes=5))
    with transaction("worker", settings) as tx:
        event = log.append(tx, Action.SEAL_RUN, Actor.unit("worker"), "recording", recording, details=details)
        with pytest.raises(KeyRefusedError):
            keyholder.file_keys(recording, event.id, "seal", [header])
    assert keyholder.file_keys(recording, event.id, "seal", [header])


@pytest.mark.parametrize(
    ("purpose", "kind"), [("analyse", "track"), ("replay", "document")], ids=["analyse", "replay"]
)
def test_a_purpose_writes_only_its_own_kind_of_file(
    settings: Settings, keyholder: Keyholder, recording: uuid.UUID, user: User, header: bytes,
    purpose: str, kind: str,
) -> None:  # fmt: skip
    if purpose == "replay":
        _, event = factory.open_view(settings, user, recording)
    else:
        event = factory.worker_event(settings, recording, purpose)
    with pytest.raises(KeyRefusedError):
        keyholder.new_file_keys(recording, event.id, purpose, [(kind, "x")])


def test_an_expiry_beyond_half_a_day_is_cut(
    settings: Settings, keyholder: Keyholder, recording: uuid.UUID, header: bytes, monkeypatch: Any
) -> None:
    event = factory.worker_event(settings, recording, "seal", seconds=10**7)
    assert keyholder.file_keys(recording, event.id, "seal", [header])
    monkeypatch.setattr("appliance.keyholder.gate.LONGEST_USE", dt.timedelta(0))
    with pytest.raises(KeyRefusedError, match="key"):
        keyholder.file_keys(recording, event.id, "seal", [header])


# Replay ----------------------------------------------------------------------------------------------


def set_view(settings: Settings, view: uuid.UUID, **values: object) -> None:
    with transaction("staff", settings) as tx:
        tx.execute(update(replay_view).where(replay_view.c.id == view).values(**values))


def test_a_view_gets_keys_while_its_lease_lasts_and_never_after_it_is_closed(
    settings: Settings, keyholder: Keyholder, recording: uuid.UUID, user: User, header: bytes
) -> None:
    view, event = factory.open_view(settings, user, recording, seconds=-1)
    now = dt.datetime.now(dt.UTC)

    def ask() -> list[bytes]:
        return keyholder.file_keys(recording, event.id, "replay", [header])

    with pytest.raises(KeyRefusedError):
        ask()
    set_view(settings, view, lease_until=now + dt.timedelta(minutes=2))
    assert len(ask()) == 1
    set_view(settings, view, closed_at=now)
    with pytest.raises(KeyRefusedError):
        ask()


def test_a_replay_event_without_its_view_opens_nothing(
    settings: Settings, keyholder: Keyholder, recording: uuid.UUID, user: User, header: bytes
) -> None:
    until = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=2)
    with transaction("staff", settings) as tx:
        event = log.append(
            tx, Action.REPLAY_OPEN, Actor.of(user), "recording", recording,
            details=log.key_use(recording, "replay", "staff", until),
        )  # fmt: skip
    with pytest.raises(KeyRefusedError):
        keyholder.file_keys(recording, event.id, "replay", [header])


# The database ---------------------------------------------------------------------------------------


def test_without_the_database_there_is_a_typed_answer_and_no_key(
    cluster: postgres.Cluster, settings: Settings, keyholder: Keyholder, recording: uuid.UUID, header: bytes
) -> None:
    event = factory.worker_event(settings, recording, "seal")
    name = settings.database.name
    with cluster.superuser() as connection:
        connection.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'))
        connection.execute(
            text("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = :name"),
            {"name": name},
        )
    with pytest.raises(DatabaseDownError):
        keyholder.file_keys(recording, event.id, "seal", [header])
    assert keyholder.publics().day_keys
    with cluster.superuser() as connection:
        connection.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'))
    assert keyholder.file_keys(recording, event.id, "seal", [header])


@pytest.mark.parametrize("purpose", ["check-vault", "repair", "rebuild"])
def test_what_looks_after_sealed_files_gets_keys_of_sealed_recordings_only(
    settings: Settings, keyholder: Keyholder, recording: uuid.UUID, header: bytes, purpose: str
) -> None:
    event = factory.worker_event(settings, recording, purpose)
    # what an older database may call a sealed one
    older = set() if purpose == "rebuild" else {"collecting", "sealing", "failed"}
    for state in {"erased"} | older:
        factory.set_state(settings, recording, state)
        with pytest.raises(KeyRefusedError):
            keyholder.file_keys(recording, event.id, purpose, [header])
    factory.set_state(settings, recording, "sealed")
    assert len(keyholder.file_keys(recording, event.id, purpose, [header])[0]) == 32
    wanted = [("track", "camera.r1"), ("document", "manifest.v2")]
    if purpose == "repair":
        assert len(keyholder.new_file_keys(recording, event.id, purpose, wanted)) == 2
    else:
        with pytest.raises(KeyRefusedError):
            keyholder.new_file_keys(recording, event.id, purpose, wanted)
    with pytest.raises(KeyRefusedError):
        keyholder.epoch_keys(recording, event.id, purpose, [])
