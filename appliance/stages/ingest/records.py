"""The records of one recording, taken one by one: what each says, and whether it may say so."""

from __future__ import annotations

import base64
import json
import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, exc, func, insert, select, update

from appliance import consents, jobs, notify
from appliance.audit import log
from appliance.domain import OPEN_STATES, AnalysisState, AttemptState, ConsentPurpose, RecordingState
from appliance.errors import AuditUnavailableError, DatabaseDownError, FupanError
from appliance.intake_progress import proven
from appliance.intake_session import verify_browser_signature
from appliance.intake_state import IntakeRecord, RecordKind
from appliance.packet import from_timestamp
from appliance.stages.ingest.deadline import begin_sealing
from appliance.stages.ingest.shapes import RefusedRecordError, sound_body
from appliance.tables import analysis, attempt, browser_key, consent, intake_record, outgoing_mail, recording
from storage.vault import EpochState

logger = logging.getLogger(__name__)

# Track → epoch id in hex → what its journal holds.
Arrived = Mapping[str, Mapping[str, EpochState]]

MAX_LINKS = 20  # no browser needs more; a hostile intake must not make us send mail without end


# What a handler meets in words that intake made up: ours, the database's, and Python's own.
_UNSOUND = (
    RefusedRecordError,
    FupanError,
    exc.DataError,
    exc.IntegrityError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)


class NotYetError(Exception):
    """What a record speaks of has not all arrived; the next pull looks again."""


def lock_attempt(tx: Connection, recording_id: uuid.UUID) -> Row[Any] | None:
    """The attempt with its recording's state, locked; None when it is unknown or another worker has it."""
    return tx.execute(
        select(attempt, recording.c.state.label("recording_state"))
        .join(recording, recording.c.id == attempt.c.id)
        .where(attempt.c.id == recording_id)
        .with_for_update(of=attempt, skip_locked=True)
    ).one_or_none()


def last_taken(tx: Connection, recording_id: uuid.UUID) -> int:
    """The number of the newest record that was taken; 0 before the first."""
    newest = select(func.max(intake_record.c.seq)).where(intake_record.c.attempt_id == recording_id)
    return int(tx.scalar(newest) or 0)


def pinned_keys(tx: Connection, recording_id: uuid.UUID) -> dict[int, bytes]:
    """Generation → browser key, as pinned."""
    rows = tx.execute(
        select(browser_key.c.generation, browser_key.c.public_key).where(
            browser_key.c.attempt_id == recording_id
        )
    )
    return {row.generation: bytes(row.public_key) for row in rows}


@dataclass
class Taking:
    """One recording's records being taken, under the lock of its attempt's row.

    `arrived`: what its journals held before that lock was taken, for a finish to be compared with.
    """

    tx: Connection
    row: Row[Any]
    pins: dict[int, bytes]
    arrived: Arrived
    state: str = ""
    events: list[tuple[log.Action, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = self.row.state

    @property
    def id(self) -> uuid.UUID:
        found: uuid.UUID = self.row.id
        return found

    def take(self, record: IntakeRecord) -> None:
        """Store a record and do what it says, if it may. Raises NotYetError, having done nothing."""
        body: dict[str, Any] = {"refused": True}
        try:
            known = replace(record, body=sound_body(record.kind, record.body))
            with self.tx.begin_nested():  # what the database refuses must not undo the other records
                _HANDLERS[record.kind](self, known)
            body = known.body
        except (DatabaseDownError, AuditUnavailableError):
            raise
        except _UNSOUND as error:
            logger.warning("record %s of %s is refused: %s", record.seq, self.id, type(error).__name__)
            self._event(log.Action.ACCESS_DENIED, record, outcome="denied", reason=f"record:{record.kind}")
        self.tx.execute(
            insert(intake_record).values(
                attempt_id=self.id,
                seq=record.seq,
                kind=record.kind,
                at=from_timestamp(record.at),
                body=body,
            )
        )

    def write_events(self) -> None:
        """Last of all, since the log's head stays locked from here to the commit."""
        for action, values in self.events:
            log.append(self.tx, action, object_type="attempt", object_id=self.id, **values)

    def _event(self, action: log.Action, record: IntakeRecord, **values: Any) -> None:
        address = _address(record.body)
        details = {"record": record.seq, **values.pop("details", {})}
        actor = log.Actor.candidate(self.id, address)
        self.events.append((action, {"actor": actor, "details": details, **values}))

    def _set_state(self, state: AttemptState, *before: AttemptState) -> None:
        if self.state in before:
            self.state = state
            self._update(state=state)

    def _update(self, **values: Any) -> None:
        self.tx.execute(update(attempt).where(attempt.c.id == self.id).values(**values))

    # --- what each kind does ---------------------------------------------------------------------------

    def bound(self, record: IntakeRecord) -> None:
        generation = int(record.body["generation"])
        key = base64.b64decode(record.body["browser_key"], validate=True)
        if self.pins.get(generation) == key:
            return  # the same browser came back for a further token
        newest = max(self.pins, default=0)
        if len(key) != 65 or not newest < generation <= self.row.generation:
            raise RefusedRecordError("a browser key under no newer packet of ours")
        self.tx.execute(
            insert(browser_key).values(
                attempt_id=self.id,
                generation=generation,
                public_key=key,
                address=_address(record.body),
                day_key_id=record.body.get("day_key", {}).get("id"),
            )
        )
        self.pins[generation] = key
        self._set_state(AttemptState.CHECKED_IN, AttemptState.INVITED)
        self._event(log.Action.INGEST_PIN, record, details={"generation": generation})

    def rebind_requested(self, record: IntakeRecord) -> None:
        if record.body["generation"] != self.row.generation or self.state not in OPEN_STATES:
            return
        if self.row.generation >= MAX_LINKS:
            raise RefusedRecordError("too many links")
        waiting = self.tx.scalar(
            select(outgoing_mail.c.id).where(
                outgoing_mail.c.attempt_id == self.id, outgoing_mail.c.state == "queued"
            )
        )
        if waiting is None:
            notify.queue_invitation(self.tx, self.id, "rebind")

    def checked(self, record: IntakeRecord) -> None:
        """Kept; pages read it from there."""

    def consent(self, record: IntakeRecord) -> None:
        statement = self._proven(record, "consent")
        self._refuse_again(record, statement)
        choices = {ConsentPurpose(name): given is True for name, given in statement["choices"].items()}
        for purpose, granted in choices.items():
            text = (str(statement["texts"][purpose]), str(statement["language"]))
            self._insert_consent(record, purpose, granted, text)
        self._event(log.Action.INGEST_CONSENT, record, details={"choices": choices})

    def _refuse_again(self, record: IntakeRecord, statement: dict[str, Any]) -> None:
        """A signed consent counts once, and none counts after a withdrawal that was signed later: intake
        could keep one and give it to us again. Compared is the text: it can bear more than one signature."""
        own = base64.b64encode(self.pins[record.body["generation"]]).decode()
        receipts = self.tx.scalars(select(consent.c.receipt).where(consent.c.attempt_id == self.id))
        for receipt in receipts:
            if receipt["statement"] == record.body["statement"]:
                raise RefusedRecordError("a consent that was taken before")
            earlier = json.loads(receipt["statement"])
            if earlier["type"] != "withdraw":
                continue
            if receipt["browser_key"] != own:  # two clocks tell nothing; the order of our links does
                refused = receipt["generation"] > record.body["generation"]
            else:
                refused = from_timestamp(statement["at"]) <= from_timestamp(earlier["at"])
            if refused:
                raise RefusedRecordError("a consent from before a withdrawal")

    def consent_withdrawn(self, record: IntakeRecord) -> None:
        statement = self._proven(record, "withdraw")
        purpose = ConsentPurpose(statement["purpose"])
        before = consents.newest(self.tx, self.id).get(purpose)
        if before is None:
            raise RefusedRecordError("there is no consent to withdraw")
        self._insert_consent(record, purpose, False, (before.text_sha256, before.language))
        self._event(log.Action.INGEST_WITHDRAW, record, details={"purpose": purpose.value})
        if purpose is ConsentPurpose.ANALYSIS:
            self._cancel_analysis(record)

    def _cancel_analysis(self, record: IntakeRecord) -> None:
        cancelled = self.tx.execute(
            update(analysis)
            .where(
                analysis.c.recording_id == self.id,
                analysis.c.state.in_((AnalysisState.QUEUED, AnalysisState.RUNNING)),
            )
            .values(state=AnalysisState.CANCELLED, reason="consent_withdrawn", finished_at=datetime.now(UTC))
        )
        jobs.cancel(self.tx, "analyse", recording=str(self.id))
        if cancelled.rowcount:
            self._event(log.Action.ANALYSE_CANCEL, record, reason="consent_withdrawn")

    def _insert_consent(
        self, record: IntakeRecord, purpose: ConsentPurpose, granted: bool, text: tuple[str, str]
    ) -> None:
        """`text`: the SHA-256 of what was shown, and its language."""
        body = record.body
        receipt = {name: body[name] for name in ("generation", "statement", "signature")}
        receipt["browser_key"] = base64.b64encode(self.pins[body["generation"]]).decode()
        self.tx.execute(
            insert(consent).values(
                id=uuid.uuid4(),
                attempt_id=self.id,
                purpose=purpose,
                granted=granted,
                text_sha256=text[0],
                language=text[1],
                at=from_timestamp(record.at),
                receipt=receipt,
                seq=record.seq,
            )
        )

    def noted(self, record: IntakeRecord) -> None:
        """A `state` record: an enumerated event of the candidate's page or of intake itself."""
        event = record.body["event"]
        if event == "question_opened":
            self._set_state(AttemptState.RECORDING, AttemptState.INVITED, AttemptState.CHECKED_IN)
        elif event == "chunk_conflict":
            logger.error("recording %s: two versions of one chunk are kept at intake", self.id)
            # What a seal waits for stands there too, and by that it is found again.
            free = (recording.c.id == self.id) & recording.c.problem.is_(None)
            self.tx.execute(update(recording).where(free).values(problem="chunk_conflict"))

    def finish(self, record: IntakeRecord) -> None:
        statement = self._proven(record, "finish")
        if self.row.recording_state != RecordingState.COLLECTING or self.state == AttemptState.FINISHED:
            return
        for listed in statement["epochs"]:
            if not _has_arrived(self.arrived, listed):
                raise NotYetError
        self.state = AttemptState.FINISHED
        begin_sealing(self.tx, self.id, end_proven=True, at=from_timestamp(record.at))
        self._event(log.Action.INGEST_FINISH, record, details={"epochs": len(statement["epochs"])})

    def _proven(self, record: IntakeRecord, expected_type: str) -> dict[str, Any]:
        """The statement in a record, signed by the browser that we pinned for its generation."""
        generation, text = record.body["generation"], record.body["statement"]
        key = self.pins.get(generation)
        if key is None:
            raise RefusedRecordError("no browser is pinned for this generation")
        signature = base64.b64decode(record.body["signature"], validate=True)
        verify_browser_signature(key, text.encode(), signature)
        statement = json.loads(text)
        about = (statement["type"], statement["recording"], statement["generation"])
        if about != (expected_type, str(self.id), generation):
            raise RefusedRecordError("the statement is about something else")
        return dict(statement)


_HANDLERS: dict[RecordKind, Callable[[Taking, IntakeRecord], None]] = {
    RecordKind.BOUND: Taking.bound,
    RecordKind.REBIND_REQUESTED: Taking.rebind_requested,
    RecordKind.CHECKED: Taking.checked,
    RecordKind.CONSENT: Taking.consent,
    RecordKind.CONSENT_WITHDRAWN: Taking.consent_withdrawn,
    RecordKind.STATE: Taking.noted,
    RecordKind.FINISH: Taking.finish,
}


def _address(body: Mapping[str, Any]) -> str:
    """Where a request came from, as intake says: short and printable, whatever stands there."""
    stated = body.get("address")
    return (
        "".join(letter for letter in stated if letter.isprintable())[:64] if isinstance(stated, str) else ""
    )


def _has_arrived(arrived: Arrived, listed: Mapping[str, Any]) -> bool:
    """Whether the journal holds what the finish lists for one epoch: count, content and order."""
    known = arrived.get(listed["track"], {}).get(listed["epoch"])
    return known is not None and proven(known, int(listed["chunks"]), listed["digest"])
