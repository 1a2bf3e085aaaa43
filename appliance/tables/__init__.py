"""Every table, for SQLAlchemy Core.

Code runs Core statements (`select`, `insert`, `update`) on the Connection that
`database.transaction(role)` yields; there are no ORM sessions and no mapped objects. Column names and
types are checked by mypy through TypedColumns. The SQL that makes the tables is in `migrations/`;
tests/appliance/test_database.py keeps both equal.

Conventions: uuid keys made by the caller, UTC timestamptz, durations in milliseconds (`_ms`), sizes in
bytes. An attempt and its recording share one id. Transcripts, signals, quotes, peaks, notes and résumés are
never here: they are sealed documents in the vault, and `document` and `person_document` only name them.
"""

from __future__ import annotations

from appliance.tables.audit import audit_event, audit_head
from appliance.tables.base import metadata
from appliance.tables.erasures import erasure, legal_hold
from appliance.tables.intake import browser_key, consent, intake_record
from appliance.tables.interviews import assignment, attempt, candidate, position, question
from appliance.tables.kept import note, person_document
from appliance.tables.mail import outgoing_mail
from appliance.tables.people import account, department, session, sign_in_link
from appliance.tables.recordings import analysis, document, recording, replay_view, track
from appliance.tables.upkeep import checked_part, disk_sample, vault_alarm

__all__ = [
    "account",
    "analysis",
    "assignment",
    "attempt",
    "audit_event",
    "audit_head",
    "browser_key",
    "candidate",
    "checked_part",
    "consent",
    "department",
    "disk_sample",
    "document",
    "erasure",
    "intake_record",
    "legal_hold",
    "metadata",
    "note",
    "outgoing_mail",
    "person_document",
    "position",
    "question",
    "recording",
    "replay_view",
    "session",
    "sign_in_link",
    "track",
    "vault_alarm",
]
