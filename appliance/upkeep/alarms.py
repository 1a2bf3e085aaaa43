"""Alarms about the vault and its keys, each once on the audit log and in the table that the pages show.

The keyholder writes its own into its journal; others are seen here. Kinds and what they are about:

bulk_use           somebody or a unit used the keys of too many recordings: who, unit, limit
damage             stored files are damaged: count, places (paths, or recording and file), kinds
day_keys_kept      the database is not to be believed, so no day key was destroyed: what
day_keys_end       the last published day key comes near while the vault is locked: last, days
events_missing     keys were given for events that the audit log does not have: count, events
erasures_wait      so much would be erased in a day that somebody must confirm it: count
nothing_erased     the database is not to be believed, so no erasure was carried out: what
intake_knows_more  intake holds interviews of ours that the database does not know: count, recordings
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql

from appliance import jobs
from appliance.audit import log
from appliance.config import Settings
from appliance.database import transaction
from appliance.errors import KeyholderDownError
from appliance.keyholder.client import Keyholder, Status
from appliance.tables import vault_alarm

WARN_DAYS = 7
NAMED = 20  # how many of many an alarm names


@jobs.task("watch_vault", retry=False)
def watch_vault(work: jobs.Work) -> None:
    """Carry the keyholder's alarms over, and look how long day keys last. Each is noted once."""
    with contextlib.suppress(KeyholderDownError):  # the pages say so
        watch(work.settings, dt.datetime.now(dt.UTC))


@jobs.task("compare_journal", retry=False)
def compare_journal(work: jobs.Work) -> None:
    """Look whether the audit log has every event that keys were given for. The same finding is noted once."""
    with contextlib.suppress(KeyholderDownError):
        compare(work.settings)


def watch(settings: Settings, now: dt.datetime) -> None:
    """Note what is new. Raises KeyholderDownError."""
    keyholder = Keyholder(settings)
    status, alarms = keyholder.status(), keyholder.alarms()
    with transaction("worker", settings) as tx:
        for alarm in alarms:
            note(tx, status.vault_id, alarm.id, alarm.kind, alarm.about, alarm.at)
        left = days_left(status, now)
        if left is not None and left <= WARN_DAYS:
            about = {"last": str(status.last_day_key), "days": left}
            note_once(tx, status.vault_id, "day_keys_end", f"{now.date()}", about, now)


def compare(settings: Settings) -> None:
    """Note the events that the journal knows and the log lacks. Raises KeyholderDownError."""
    keyholder = Keyholder(settings)
    missing = [str(event) for event in keyholder.missing_events()]
    if missing:
        vault_id = keyholder.status().vault_id
        about = {"count": len(missing), "events": missing[:NAMED]}
        with transaction("worker", settings) as tx:
            note_once(tx, vault_id, "events_missing", " ".join(missing), about)


def days_left(status: Status, now: dt.datetime) -> int | None:
    """After today, for how many days there are day keys; negative once the last one is used past its day.
    None where there is none at all."""
    if status.last_day_key is None:
        return None
    return (dt.date.fromisoformat(status.last_day_key) - now.date()).days


def note_once(
    tx: Connection,
    vault_id: uuid.UUID,
    kind: str,
    finding: str,
    about: Mapping[str, Any],
    at: dt.datetime | None = None,
) -> bool:
    """Note an alarm unless the same finding was noted before. True when it is new."""
    known_by = hashlib.sha256(f"{kind} {finding}".encode()).hexdigest()
    return note(tx, vault_id, uuid.uuid5(vault_id, known_by), kind, about, at)


def note(
    tx: Connection,
    vault_id: uuid.UUID,
    alarm_id: uuid.UUID,
    kind: str,
    about: Mapping[str, Any],
    at: dt.datetime | None = None,
) -> bool:
    """Note an alarm with its event, unless it is noted already. True when it is new."""
    added = tx.execute(
        postgresql.insert(vault_alarm)
        .values(id=alarm_id, at=at or dt.datetime.now(dt.UTC), kind=kind, about=dict(about))
        .on_conflict_do_nothing()
    )
    if added.rowcount != 1:
        return False
    actor = log.Actor.unit("worker")
    log.append(tx, log.Action.VAULT_ALARM, actor, "vault", vault_id, reason=kind, details=about)
    return True
