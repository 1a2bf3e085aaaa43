"""What the records of one attempt add up to. Pure: records in, state out.

A record is one JSON line {"seq", "at", "kind", "body"}. Kinds and their bodies:

bound              generation, browser_key (base64, 65 bytes), page, token_sha256, signature, address,
                   clock_ahead_ms: how far the browser's clock was ahead of ours, as far as it says so;
                   day_key: {id, public (base64, 65 bytes)}, the same in every record of a generation
rebind_requested   generation, address
checked            browser, camera, microphone, network, screen: ok|warn|fail|skipped; heard; numbers
consent            generation, statement (JSON text), signature (base64), address
consent_withdrawn  generation, statement, signature, address
state              event: question_opened|question_closed|chunk_conflict; question or track, epoch, n
finish             generation, statement, signature, receipt

Statements are signed by the browser key over the UTF-8 bytes of their text (ECDSA P-256, SHA-256, r‖s).
"""

from __future__ import annotations

import base64
import enum
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from appliance.errors import FupanError
from appliance.packet import DayKey, from_timestamp

CHECKS = ("browser", "camera", "microphone", "network", "screen")
CHECK_RESULTS = ("ok", "warn", "fail", "skipped")
STATE_EVENTS = ("question_opened", "question_closed", "chunk_conflict")
MAX_SEQ = 10**9
FIRST_YEAR, LAST_YEAR = 1970, 9000  # within these a time can be shown in every time zone


class NoRecordError(ValueError):
    """A line of records.log that is no record."""


class RecordKind(enum.StrEnum):
    BOUND = "bound"
    REBIND_REQUESTED = "rebind_requested"
    CHECKED = "checked"
    CONSENT = "consent"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    STATE = "state"
    FINISH = "finish"


@dataclass(frozen=True)
class IntakeRecord:
    """One line of records.log; `seq` counts from 1 without a hole."""

    seq: int
    at: str
    kind: RecordKind
    body: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"seq": self.seq, "at": self.at, "kind": str(self.kind), "body": self.body}


def parse_record(line: bytes) -> IntakeRecord:
    """The record in one line. Raises NoRecordError."""
    try:
        values = json.loads(line)
        record = IntakeRecord(values["seq"], values["at"], RecordKind(values["kind"]), values["body"])
        year = from_timestamp(record.at).year
    except (FupanError, ValueError, LookupError, TypeError, ArithmeticError, RecursionError) as error:
        raise NoRecordError from error
    counted = type(record.seq) is int and 1 <= record.seq <= MAX_SEQ
    if not counted or not FIRST_YEAR <= year <= LAST_YEAR or not isinstance(record.body, dict):
        raise NoRecordError
    return record


def statement_digest(text: str) -> str:
    """Hex SHA-256 of a signed statement's text: the text, since it can bear more than one signature."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Binding:
    """A browser that pressed Begin under one generation of the packet; `at` by intake's clock, of which the
    browser's was then ahead.

    `day_key` is what it seals to from then on; None in a record of before there were lists: the packet's.
    """

    generation: int
    browser_key: bytes
    at: datetime
    clock_ahead_ms: float = 0.0
    day_key: DayKey | None = None


@dataclass
class AttemptState:
    """The fold of an attempt's records."""

    last_seq: int = 0
    bindings: dict[int, Binding] = field(default_factory=dict)
    tokens: dict[str, Binding] = field(default_factory=dict)
    rebind_generations: set[int] = field(default_factory=set)
    checked: bool = False
    consent: dict[str, bool] = field(default_factory=dict)
    consent_statements: set[str] = field(default_factory=set)
    newest_consent: str = ""
    opened: int = 0
    closed: int = 0
    finish_statement: str = ""
    finished_at: datetime | None = None
    receipt: dict[str, Any] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return bool(self.finish_statement)

    def superseded_at(self, binding: Binding) -> datetime | None:
        """When another browser was bound under a newer link than this browser's last one; None: not yet.

        A newer link that nobody has begun with changes nothing.
        """
        known = self.all_bindings()
        own = max(each.generation for each in known if each.browser_key == binding.browser_key)
        return min((each.at for each in known if each.generation > own), default=None)

    def all_bindings(self) -> list[Binding]:
        """In one step, since other threads may be taking in records."""
        return list(self.bindings.values())

    def apply(self, records: Iterable[IntakeRecord]) -> None:
        """Take in further records, in order."""
        for record in records:
            _APPLY[record.kind](self, record)
            self.last_seq = record.seq

    def _bound(self, record: IntakeRecord) -> None:
        body = record.body
        key = base64.b64decode(body["browser_key"])
        ahead = body.get("clock_ahead_ms", 0.0)
        stated = body.get("day_key")
        day_key = DayKey(stated["id"], base64.b64decode(stated["public"])) if stated else None
        binding = Binding(body["generation"], key, from_timestamp(record.at), ahead, day_key)
        self.bindings.setdefault(binding.generation, binding)
        self.tokens[body["token_sha256"]] = binding

    def _rebind_requested(self, record: IntakeRecord) -> None:
        self.rebind_generations.add(record.body["generation"])

    def _checked(self, record: IntakeRecord) -> None:
        self.checked = True

    def _consent(self, record: IntakeRecord) -> None:
        text = record.body["statement"]
        choices = json.loads(text)["choices"]
        self.consent.update({purpose: bool(granted) for purpose, granted in choices.items()})
        self.newest_consent = statement_digest(text)
        self.consent_statements.add(self.newest_consent)

    def _consent_withdrawn(self, record: IntakeRecord) -> None:
        self.consent[json.loads(record.body["statement"])["purpose"]] = False
        self.newest_consent = ""

    def _state(self, record: IntakeRecord) -> None:
        if record.body["event"] == "question_opened":
            self.opened = max(self.opened, record.body["question"])
        elif record.body["event"] == "question_closed":
            self.closed = max(self.closed, record.body["question"])

    def _finish(self, record: IntakeRecord) -> None:
        self.finish_statement = record.body["statement"]
        self.finished_at = from_timestamp(record.at)
        self.receipt = record.body["receipt"]


_APPLY = {
    RecordKind.BOUND: AttemptState._bound,
    RecordKind.REBIND_REQUESTED: AttemptState._rebind_requested,
    RecordKind.CHECKED: AttemptState._checked,
    RecordKind.CONSENT: AttemptState._consent,
    RecordKind.CONSENT_WITHDRAWN: AttemptState._consent_withdrawn,
    RecordKind.STATE: AttemptState._state,
    RecordKind.FINISH: AttemptState._finish,
}
