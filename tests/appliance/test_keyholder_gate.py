"""Which events open keys and which do not, and what is on disk before an answer leaves."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import socket
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text, update

from appliance.audit import log
from appliance.audit.log import Action, Actor, AuditEvent
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import Role, User
from appliance.errors import (
    ConfigurationError,
    DamagedError,
    DatabaseDownError,
    InvalidInputError,
    KeyholderDownError,
    KeyRefusedError,
)
from appliance.keyholder.client import Keyholder
from appliance.keyholder.journal import Journal
from appliance.keyholder.wire import MAX_LINE_BYTES
from appliance.tables import replay_view
from tests.support import factory, postgres
from tests.support.keyholder import running_keyholder


@pytest.fixture
def department(settings: Settings) -> uuid.UUID:
    return factory.make_department(settings)


@pytest.fixture
def recording(settings: Settings, department: uuid.UUID) -> uuid.UUID:
    """One that is being sealed and analysed, so that nothing but the event decides."""
    made = factory.make_attempt(settings, department, state="sealing")
    factory.set_analysis(settings, made, "running")
    return made


@pytest.fixture
def user(settings: Settings, department: uuid.UUID) -> User:
    return factory.make_user(settings, Role.RECRUITER)


@pytest.fixture
def header(settings: Settings, keyholder: Keyholder, recording: uuid.UUID, department: uuid.UUID) -> bytes:
    """The header of a file of the recording, whose key exists."""
    event = factory.worker_event(settings, recording, "seal")
    keyholder.create_recording_key(recording, department, 2026, event.id)
    ((raw, _),) = keyholder.new_file_keys(recording, event.id, "seal", [("track", "camera")])
    return raw


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


# Database and journal --------------------------------------------------------------------------------


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


def journal_lines(settings: Settings) -> list[bytes]:
    return (settings.data / "keyholder" / "journal").read_bytes().splitlines()


def test_each_use_and_refusal_is_on_disk_with_its_event_and_never_a_key(
    settings: Settings, keyholder: Keyholder, recording: uuid.UUID, header: bytes
) -> None:
    event = factory.worker_event(settings, recording, "analyse")
    (key,) = keyholder.file_keys(recording, event.id, "analyse", [header])
    with pytest.raises(KeyRefusedError):
        keyholder.file_keys(recording, uuid.uuid4(), "analyse", [header])
    used, refused = (json.loads(line) for line in journal_lines(settings)[-2:])
    assert (used["op"], used["event"], used["hash"]) == ("file_keys", str(event.id), event.hash.hex())
    assert (used["recording"], used["purpose"], used["unit"]) == (str(recording), "analyse", "worker")
    assert (used["items"], used["pid"], used["uid"]) == (["track/camera"], os.getpid(), os.geteuid())
    assert refused["refused"] == "there is no such event"
    whole = b"".join(journal_lines(settings))
    assert key.hex().encode() not in whole
    assert log.canonical({"k": key.hex()}).encode() not in whole


def test_the_journal_is_a_chain(settings: Settings, keyholder: Keyholder, header: bytes) -> None:
    head = "00" * 32
    for seq, line in enumerate(journal_lines(settings), start=1):
        entry = json.loads(line)
        assert (entry["seq"], entry["prev"]) == (seq, head)
        head = hashlib.sha256(line).hexdigest()
    assert keyholder.status().uses == len(journal_lines(settings)) > 0


def test_a_use_that_cannot_be_written_down_does_not_happen(
    settings: Settings, keyholder: Keyholder, recording: uuid.UUID, header: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    event = factory.worker_event(settings, recording, "seal")
    before = journal_lines(settings)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("appliance.keyholder.journal.os.fdatasync", full)
        with pytest.raises(KeyholderDownError):
            keyholder.file_keys(recording, event.id, "seal", [header])
    assert journal_lines(settings) == before
    assert keyholder.file_keys(recording, event.id, "seal", [header])


def test_events_that_the_database_forgot_are_named(
    settings: Settings, keyholder: Keyholder, recording: uuid.UUID, header: bytes
) -> None:
    event = factory.worker_event(settings, recording, "seal")
    keyholder.file_keys(recording, event.id, "seal", [header])
    assert keyholder.missing_events() == []
    with transaction("owner", settings) as tx:  # a restore to an hour ago
        tx.execute(text("ALTER TABLE audit_event DISABLE TRIGGER audit_event_append_only"))
        tx.execute(text("DELETE FROM audit_event WHERE id = :id"), {"id": event.id})
    assert keyholder.missing_events() == [event.id]


def test_a_torn_last_line_is_cut_off_and_a_changed_line_is_refused(settings: Settings) -> None:
    path = settings.data / "keyholder" / "journal"
    journal = Journal(path)
    journal.append({"op": "a"})
    journal.append({"op": "b"})
    journal.close()
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op":"c","se')
    torn = Journal(path)
    assert torn.count == 2
    torn.append({"op": "c"})
    assert [entry["op"] for entry in torn.entries()] == ["a", "b", "c"]
    torn.close()
    for damaged in (whole.replace(b'"a"', b'"x"'), whole.split(b"\n", 1)[1], b"junk\n" + whole):
        path.write_bytes(damaged)
        with pytest.raises(DamagedError):
            Journal(path)


def test_a_journal_serves_one_keyholder(settings: Settings) -> None:
    journal = Journal(settings.data / "keyholder" / "journal")
    with pytest.raises(ConfigurationError):
        Journal(settings.data / "keyholder" / "journal")
    journal.close()


# The socket ------------------------------------------------------------------------------------------


def raw(settings: Settings, request: bytes) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(settings.keyholder_socket))
        connection.sendall(request)
        answer: dict[str, Any] = json.loads(connection.makefile("rb").readline())
        return answer


def test_processes_of_other_users_are_not_answered(settings: Settings) -> None:
    with running_keyholder(settings) as server:
        server.allowed = frozenset({os.geteuid() + 1})
        with pytest.raises(KeyRefusedError):
            Keyholder(settings).status()


@pytest.mark.parametrize(
    "request_line",
    [
        b"\n",
        b"[]\n",
        b"\xff\n",
        b"[" * 100_000 + b"\n",
        b"{}\n",
        b'{"op":"answer"}\n',
        b'{"op":"file_keys","recording":"x","event":"y","purpose":"seal"}\n',
        b'{"op":"sign","kind":"packet","statement":"x"}\n',
    ],
    ids=range(8),
)
def test_junk_gets_a_typed_error(settings: Settings, keyholder: Keyholder, request_line: bytes) -> None:
    assert raw(settings, request_line)["error"]["code"] == InvalidInputError.code
    assert not keyholder.status().locked


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("headers", ["!!"]),
        ("headers", [1]),
        ("headers", ["AA=="] * 257),
        ("headers", "AA=="),
        ("recording", 1),
        ("event", None),
    ],
)
def test_misshapen_fields_get_a_typed_error(
    settings: Settings, keyholder: Keyholder, recording: uuid.UUID, header: bytes, field: str, value: object
) -> None:
    event = factory.worker_event(settings, recording, "seal")
    request = {
        "op": "file_keys",
        "recording": str(recording),
        "event": str(event.id),
        "purpose": "seal",
        "headers": [],
        field: value,
    }
    assert raw(settings, json.dumps(request).encode() + b"\n")["error"]["code"] == InvalidInputError.code


def test_a_request_over_the_limit_is_refused_without_reading_on(
    settings: Settings, keyholder: Keyholder
) -> None:
    answer = raw(settings, b"x" * (MAX_LINE_BYTES + 1))
    assert answer["error"]["code"] == InvalidInputError.code
    assert not keyholder.status().locked
