"""Everything the database knows about one attempt. The caller has fetched it by access.get_attempt_for."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from appliance import consents
from appliance.reading.interviews import AttemptRow, attempt_row, rows
from appliance.tables import (
    account,
    analysis,
    attempt,
    document,
    erasure,
    intake_record,
    outgoing_mail,
    recording,
    replay_view,
    track,
)


@dataclass(frozen=True)
class Happening:
    """One line of an attempt's history. `kind` is a record's kind, mail:<kind>, view or a state's word."""

    at: dt.datetime
    kind: str
    about: dict[str, Any]


@dataclass(frozen=True)
class AttemptPage:
    """An attempt as its page shows it; `recording`, `analysis` are rows or None."""

    row: AttemptRow
    candidate_id: uuid.UUID
    generation: int
    end_proven: bool
    snapshot: dict[str, Any]
    recording: Row[Any] | None
    analysis: Row[Any] | None
    tracks: list[Row[Any]]
    documents: list[Row[Any]]
    consents: list[Row[Any]]
    checks: dict[str, Any]
    history: list[Happening]


def page(tx: Connection, attempt_id: uuid.UUID) -> AttemptPage:
    """Read it all."""
    head = tx.execute(rows().where(attempt.c.id == attempt_id)).one()
    more = tx.execute(
        select(attempt.c.candidate_id, attempt.c.generation, attempt.c.end_proven, attempt.c.snapshot).where(
            attempt.c.id == attempt_id
        )
    ).one()
    records = _all(tx, intake_record, intake_record.c.attempt_id == attempt_id, intake_record.c.seq)
    bodies = [row.body for row in records if row.kind == "checked"]
    checks = [body for body in bodies if isinstance(body, dict) and "refused" not in body]
    return AttemptPage(
        row=attempt_row(head),
        candidate_id=more.candidate_id,
        generation=more.generation,
        end_proven=more.end_proven,
        snapshot=more.snapshot,
        recording=tx.execute(select(recording).where(recording.c.id == attempt_id)).one_or_none(),
        analysis=tx.execute(select(analysis).where(analysis.c.recording_id == attempt_id)).one_or_none(),
        tracks=_all(tx, track, track.c.recording_id == attempt_id, track.c.name),
        documents=_all(tx, document, document.c.recording_id == attempt_id, document.c.name),
        consents=[row for _, row in sorted(consents.newest(tx, attempt_id).items(), reverse=True)],
        checks=checks[-1] if checks else {},
        history=_history(tx, attempt_id, records),
    )


def questions_put(snapshot: dict[str, Any]) -> list[dict[str, Any]]:
    """Ordinal and text of the questions as they were put to this candidate."""
    return [{"ordinal": each["ordinal"], "text": each["text"]} for each in snapshot.get("questions", [])]


def _all(tx: Connection, table: Any, condition: Any, order: Any) -> list[Row[Any]]:
    return list(tx.execute(select(table).where(condition).order_by(order)).all())


def _history(tx: Connection, attempt_id: uuid.UUID, records: list[Row[Any]]) -> list[Happening]:
    found = [Happening(row.at, row.kind, row.body) for row in records if row.kind != "heartbeat"]
    for mail in tx.execute(select(outgoing_mail).where(outgoing_mail.c.attempt_id == attempt_id)):
        about = {"to": mail.recipient, "reason": mail.reason or ""}
        found.append(Happening(mail.sent_at or mail.created_at, f"mail:{mail.state}", about))
    views = (
        select(replay_view.c.opened_at, account.c.display_name)
        .join(account, account.c.id == replay_view.c.account_id)
        .where(replay_view.c.recording_id == attempt_id)
    )
    found += [Happening(row.opened_at, "viewed", {"who": row.display_name}) for row in tx.execute(views)]
    sealed = tx.scalar(select(recording.c.sealed_at).where(recording.c.id == attempt_id))
    if sealed:
        found.append(Happening(sealed, "sealed", {}))
    state = tx.execute(select(analysis).where(analysis.c.recording_id == attempt_id)).one_or_none()
    if state is not None and state.finished_at:
        found.append(Happening(state.finished_at, f"analysis:{state.state}", {}))
    # A mark also names what a legal hold kept: its certificate says what went.
    named = erasure.c.recordings.contains([attempt_id]) & erasure.c.certificate.is_not(None)
    for row in tx.execute(select(erasure.c.erased_at, erasure.c.certificate).where(named)):
        if str(attempt_id) in json.loads(row.certificate["statement"])["recordings"]:
            found.append(Happening(row.erased_at, "erased", {}))
    return sorted(found, key=lambda each: each.at)
