"""Keys of documents of a recording or a person: one event, one owner, its documents, a minute at most."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import select

from appliance.audit import log
from appliance.audit.log import Action, Actor, AuditEvent
from appliance.config import Settings
from appliance.database import DatabaseRole, transaction
from appliance.domain import Owner, OwnerKind, User
from appliance.errors import KeyholderDownError, KeyRefusedError, VaultLockedError
from appliance.keyholder.client import Keyholder
from appliance.tables import attempt
from storage.vault import KeyStore, derive_file_key, new_header, parse_header, unwrap
from tests.support import factory
from tests.support.keyholder import full_disk, journal_lines, running_keyholder, unlock, vault_key


@dataclass
class Told:
    """An event as it was meant; each test changes one thing."""

    settings: Settings
    owner: Owner
    purpose: str
    names: list[str]
    actor: Actor
    action: Action = Action.RESUME_KEEP
    seconds: float = 30
    outcome: str = "ok"
    object_id: uuid.UUID | None = None
    role: DatabaseRole = "staff"
    changes: dict[str, Any] = field(default_factory=dict)

    def event(self) -> AuditEvent:
        until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self.seconds)
        details = log.document_use(self.owner, self.purpose, self.names, until) | self.changes
        with transaction(self.role, self.settings) as tx:
            about = self.object_id or self.owner.id
            return log.append(tx, self.action, self.actor, "candidate", about, self.outcome, details=details)


@pytest.fixture
def sealed(settings: Settings, keyholder: Keyholder, recording: uuid.UUID, header: bytes) -> uuid.UUID:
    """A recording that has its key."""
    factory.set_state(settings, recording, "sealed")
    return recording


@pytest.fixture
def person(settings: Settings, recording: uuid.UUID) -> Owner:
    with transaction("staff", settings) as tx:
        found = tx.scalar(select(attempt.c.candidate_id).where(attempt.c.id == recording))
    assert found is not None
    return Owner(OwnerKind.PERSON, found)


@pytest.fixture
def resume(settings: Settings, person: Owner, user: User) -> Told:
    """The event of a recruiter who attaches a résumé."""
    return Told(settings, person, "resume", ["resume"], Actor.of(user))


def note(settings: Settings, recording: uuid.UUID, user: User, action: Action = Action.NOTE_KEEP) -> Told:
    owner = Owner(OwnerKind.RECORDING, recording)
    return Told(settings, owner, "note", [f"note-{uuid.uuid4()}"], Actor.of(user), action)


def opened(told: Told) -> Told:
    """The same document, to be read."""
    action = {"resume": Action.RESUME_OPEN, "note": Action.NOTE_OPEN}[told.purpose]
    return Told(told.settings, told.owner, told.purpose, told.names, told.actor, action)


def test_what_was_kept_is_opened_by_a_later_event(keyholder: Keyholder, resume: Told) -> None:
    header, key = keyholder.new_document_key(resume.owner, resume.event().id, "resume")
    later = opened(resume).event().id
    assert keyholder.document_keys(resume.owner, later, [header]) == [key]
    assert keyholder.document_keys(resume.owner, later, [header, header]) == [key, key]
    parsed = parse_header(header)
    assert (parsed.owner, parsed.kind, parsed.name) == (resume.owner.id, "document", "resume")


def test_a_note_lies_under_its_recordings_key(
    settings: Settings, keyholder: Keyholder, sealed: uuid.UUID, user: User
) -> None:
    told = note(settings, sealed, user)
    header, key = keyholder.new_document_key(told.owner, told.event().id, told.names[0])
    assert keyholder.document_keys(told.owner, opened(told).event().id, [header]) == [key]
    assert KeyStore(settings.keys_folder).list("person") == []


def test_a_persons_key_is_made_once_under_the_vault_key(
    settings: Settings, keyholder: Keyholder, resume: Told
) -> None:
    header, key = keyholder.new_document_key(resume.owner, resume.event().id, "resume")
    resume.names = ["resume.v2"]
    second, _ = keyholder.new_document_key(resume.owner, resume.event().id, "resume.v2")
    record = KeyStore(settings.keys_folder).get("person", str(resume.owner.id))
    assert record.parent == str(keyholder.status().vault_id)
    own = unwrap(vault_key(settings), record)
    assert derive_file_key(own, header) == key
    assert parse_header(header).salt != parse_header(second).salt


def test_one_event_gives_one_key_to_write_also_after_a_restart(
    settings: Settings, recording: uuid.UUID, person: Owner, user: User
) -> None:
    event = Told(settings, person, "resume", ["resume"], Actor.of(user)).event().id

    def again() -> None:
        with pytest.raises(KeyRefusedError) as caught:
            Keyholder(settings).new_document_key(person, event, "resume")
        assert caught.value.params["reason"] == "the event was used before"

    with running_keyholder(settings):
        assert Keyholder(settings).new_document_key(person, event, "resume")
        again()
    with running_keyholder(settings):
        again()


REFUSED: dict[str, Callable[[Told], object]] = {
    "expired": lambda told: setattr(told, "seconds", -0.001),
    "no expiry": lambda told: told.changes.update(expires=""),
    "expiry without zone": lambda told: told.changes.update(expires="2999-01-01T00:00:00"),
    "expiry that is no text": lambda told: told.changes.update(expires=7),
    "denied": lambda told: setattr(told, "outcome", "denied"),
    "another action": lambda told: setattr(told, "action", Action.RESUME_OPEN),
    "an action of another purpose": lambda told: setattr(told, "action", Action.NOTE_KEEP),
    "another purpose": lambda told: setattr(told, "purpose", "note"),
    "an unknown purpose": lambda told: setattr(told, "purpose", "photo"),
    "a purpose that is no text": lambda told: told.changes.update(purpose=["resume"]),
    "another person in its details": lambda told: told.changes.update(person=str(uuid.uuid4())),
    "another person as its object": lambda told: setattr(told, "object_id", uuid.uuid4()),
    "another document": lambda told: setattr(told, "names", ["resume.v2"]),
    "two documents": lambda told: setattr(told, "names", ["resume", "resume.v2"]),
    "no document": lambda told: setattr(told, "names", []),
    "documents that are no list": lambda told: told.changes.update(documents="resume"),
    "another unit named": lambda told: told.changes.update(unit="worker"),
    "written by another unit": lambda told: setattr(told, "role", "worker"),
    "nobody who signed in": lambda told: setattr(told, "actor", Actor.unit("staff")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_event_that_says_something_else_gives_no_key_to_write(
    settings: Settings, keyholder: Keyholder, resume: Told, case: str
) -> None:
    REFUSED[case](resume)
    with pytest.raises(KeyRefusedError):
        keyholder.new_document_key(resume.owner, resume.event().id, "resume")
    assert KeyStore(settings.keys_folder).list("person") == []


@pytest.mark.parametrize(
    "name", ["transcript", "resume/../x", "note-1", "resume.v0", "resume.v", "resume2", "Resume"]
)
def test_a_kind_writes_only_documents_of_its_name(keyholder: Keyholder, resume: Told, name: str) -> None:
    resume.names = [name]
    with pytest.raises(KeyRefusedError):
        keyholder.new_document_key(resume.owner, resume.event().id, name)


def test_nobody_who_was_never_invited_gets_a_key(
    settings: Settings, keyholder: Keyholder, resume: Told
) -> None:
    resume.owner = Owner(OwnerKind.PERSON, uuid.uuid4())
    with pytest.raises(KeyRefusedError):
        keyholder.new_document_key(resume.owner, resume.event().id, "resume")
    assert KeyStore(settings.keys_folder).list("person") == []


def test_a_recording_takes_notes_only_once_it_is_sealed(
    settings: Settings, keyholder: Keyholder, sealed: uuid.UUID, user: User
) -> None:
    for state in ("collecting", "sealing", "failed"):
        factory.set_state(settings, sealed, state)
        told = note(settings, sealed, user)
        with pytest.raises(KeyRefusedError):
            keyholder.new_document_key(told.owner, told.event().id, told.names[0])


def test_an_expiry_beyond_a_minute_is_cut(
    keyholder: Keyholder, resume: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    resume.seconds = 10**7
    event = resume.event().id
    monkeypatch.setattr("appliance.keyholder.document_gate.LONGEST", dt.timedelta(0))
    with pytest.raises(KeyRefusedError, match="key"):
        keyholder.new_document_key(resume.owner, event, "resume")


def test_an_event_opens_its_own_documents_and_no_others(
    settings: Settings, keyholder: Keyholder, sealed: uuid.UUID, user: User, header: bytes, resume: Told
) -> None:
    mine, other = note(settings, sealed, user), note(settings, sealed, user)
    own, _ = keyholder.new_document_key(mine.owner, mine.event().id, mine.names[0])
    foreign, _ = keyholder.new_document_key(other.owner, other.event().id, other.names[0])
    of_person, _ = keyholder.new_document_key(resume.owner, resume.event().id, "resume")
    vault = keyholder.status().vault_id
    elsewhere = new_header(vault, uuid.uuid4(), "document", mine.names[0]).raw
    as_track = new_header(vault, sealed, "track", mine.names[0]).raw
    event = opened(mine).event().id
    for stranger in (foreign, of_person, header, elsewhere, as_track):
        with pytest.raises(KeyRefusedError):
            keyholder.document_keys(mine.owner, event, [own, stranger])
    with pytest.raises(KeyRefusedError):
        keyholder.document_keys(resume.owner, event, [of_person])
    assert keyholder.document_keys(mine.owner, event, [own])


def test_an_event_to_keep_opens_nothing_and_one_to_open_writes_nothing(
    keyholder: Keyholder, resume: Told
) -> None:
    keep = resume.event().id
    header, _ = keyholder.new_document_key(resume.owner, keep, "resume")
    with pytest.raises(KeyRefusedError):
        keyholder.document_keys(resume.owner, keep, [header])
    with pytest.raises(KeyRefusedError):
        keyholder.new_document_key(resume.owner, opened(resume).event().id, "resume")


def test_a_replays_or_a_jobs_event_gives_no_document_that_people_keep(
    settings: Settings, keyholder: Keyholder, sealed: uuid.UUID, user: User
) -> None:
    told = note(settings, sealed, user)
    view, event = factory.open_view(settings, user, sealed)
    factory.set_analysis(settings, sealed, "running")
    job = factory.worker_event(settings, sealed, "analyse")
    for each in (event.id, job.id, view):
        with pytest.raises(KeyRefusedError):
            keyholder.new_document_key(told.owner, each, told.names[0])
        with pytest.raises(KeyRefusedError):
            keyholder.document_keys(told.owner, each, [])


def test_locked_there_is_one_error_and_afterwards_the_same_keys(
    settings: Settings, keyholder: Keyholder, resume: Told
) -> None:
    header, key = keyholder.new_document_key(resume.owner, resume.event().id, "resume")
    resume.names = ["resume.v2"]
    keyholder.lock()
    with pytest.raises(VaultLockedError):
        keyholder.new_document_key(resume.owner, resume.event().id, "resume.v2")
    with pytest.raises(VaultLockedError):
        keyholder.document_keys(resume.owner, resume.event().id, [header])
    unlock(settings)
    resume.names = ["resume"]
    assert keyholder.document_keys(resume.owner, opened(resume).event().id, [header]) == [key]


def test_each_use_is_in_the_journal_before_its_answer(
    settings: Settings, keyholder: Keyholder, resume: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = resume.event()
    keyholder.new_document_key(resume.owner, event.id, "resume")
    entry = json.loads(journal_lines(settings)[-1])
    assert entry["event"] == str(event.id)
    assert entry["hash"] == event.hash.hex()
    assert entry["person"] == str(resume.owner.id)
    assert (entry["op"], entry["items"]) == ("new_document_key", ["document/resume"])
    later = opened(resume).event().id
    monkeypatch.setattr("os.fdatasync", full_disk)
    with pytest.raises(KeyholderDownError):
        keyholder.document_keys(resume.owner, later, [])
