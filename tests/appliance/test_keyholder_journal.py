"""What the keyholder's own journal holds before an answer leaves, and that nobody changes it unseen."""

from __future__ import annotations

import hashlib
import json
import os
import uuid

import pytest
from sqlalchemy import text

from appliance.audit import log
from appliance.config import Settings
from appliance.database import transaction
from appliance.errors import ConfigurationError, DamagedError, KeyholderDownError, KeyRefusedError
from appliance.keyholder.client import Keyholder
from appliance.keyholder.journal import Journal
from tests.support import factory
from tests.support.keyholder import full_disk, journal_lines


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

    with monkeypatch.context() as broken:
        broken.setattr("appliance.keyholder.journal.os.fdatasync", full_disk)
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
