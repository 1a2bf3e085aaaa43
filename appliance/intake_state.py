"""What the records of one attempt add up to. Pure: records in, state out.

A record is one JSON line {"seq", "at", "kind", "body"}. Kinds and their bodies:

bound              generation, browser_key (base64, 65 bytes), page, token_sha256, signature, address
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
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


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


@dataclass(frozen=True)
class Binding:
    """A browser that pressed Begin under one generation of the packet."""

    generation: int
    browser_key: bytes


@dataclass
class AttemptState:
    """The fold of an attempt's records."""

    last_seq: int = 0
    bindings: dict[int, Binding] = field(default_factory=dict)
    tokens: dict[str, Binding] = field(default_factory=dict)
    rebind_generations: set[int] = field(default_factory=set)
    checked: bool = False
    consent: dict[str, bool] = field(default_factory=dict)
    opened: int = 0
    closed: int = 0
    finish_statement: str = ""
    receipt: dict[str, Any] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return bool(self.finish_statement)

    @property
    def browser_keys(self) -> set[bytes]:
        return {binding.browser_key for binding in self.bindings.values()}

    def apply(self, records: Iterable[IntakeRecord]) -> None:
        """Take in further records, in order."""
        for record in records:
            _APPLY[record.kind](self, record.body)
            self.last_seq = record.seq

    def _bound(self, body: dict[str, Any]) -> None:
        binding = Binding(body["generation"], base64.b64decode(body["browser_key"]))
        self.bindings.setdefault(binding.generation, binding)
        self.tokens[body["token_sha256"]] = binding

    def _rebind_requested(self, body: dict[str, Any]) -> None:
        self.rebind_generations.add(body["generation"])

    def _checked(self, body: dict[str, Any]) -> None:
        self.checked = True

    def _consent(self, body: dict[str, Any]) -> None:
        choices = json.loads(body["statement"])["choices"]
        self.consent.update({purpose: bool(granted) for purpose, granted in choices.items()})

    def _consent_withdrawn(self, body: dict[str, Any]) -> None:
        self.consent[json.loads(body["statement"])["purpose"]] = False

    def _state(self, body: dict[str, Any]) -> None:
        if body["event"] == "question_opened":
            self.opened = max(self.opened, body["question"])
        elif body["event"] == "question_closed":
            self.closed = max(self.closed, body["question"])

    def _finish(self, body: dict[str, Any]) -> None:
        self.finish_statement = body["statement"]
        self.receipt = body["receipt"]


_APPLY = {
    RecordKind.BOUND: AttemptState._bound,
    RecordKind.REBIND_REQUESTED: AttemptState._rebind_requested,
    RecordKind.CHECKED: AttemptState._checked,
    RecordKind.CONSENT: AttemptState._consent,
    RecordKind.CONSENT_WITHDRAWN: AttemptState._consent_withdrawn,
    RecordKind.STATE: AttemptState._state,
    RecordKind.FINISH: AttemptState._finish,
}
