"""The words of the product on one page: enumerations and small records, standard library only.

docs/glossary.md defines each of them; a test keeps the two lists equal.
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class Role(enum.StrEnum):
    """Who someone is to the product. The three administrators exclude every other role."""

    RECRUITER = "recruiter"
    DEPARTMENT_HEAD = "department_head"
    INTERVIEWER = "interviewer"
    CANDIDATE = "candidate"
    SYSTEM_ADMIN = "system_admin"
    SECURITY_ADMIN = "security_admin"
    AUDITOR = "auditor"


class AttemptState(enum.StrEnum):
    """How far a candidate's try at an interview has come, as people see it."""

    INVITED = "invited"
    CHECKED_IN = "checked_in"
    RECORDING = "recording"
    FINISHED = "finished"
    EXPIRED = "expired"


# The candidate may still record: neither finished nor out of time.
OPEN_STATES = (AttemptState.INVITED, AttemptState.CHECKED_IN, AttemptState.RECORDING)


class RecordingState(enum.StrEnum):
    """Where the bytes of one attempt are."""

    COLLECTING = "collecting"
    SEALING = "sealing"
    SEALED = "sealed"
    FAILED = "failed"
    ERASED = "erased"


class Tier(enum.StrEnum):
    """Which of two places sealed files lie in."""

    HOT = "hot"
    COLD = "cold"


class AnalysisState(enum.StrEnum):
    """What has become of the analysis of one recording."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class ConsentPurpose(enum.StrEnum):
    """Each purpose is ticked, stored and withdrawn on its own (F020)."""

    RECORD = "record"
    ANALYSIS = "analysis"


class TrackKind(enum.StrEnum):
    """One stream of a recording."""

    CAMERA = "camera"
    SCREEN = "screen"
    EVENTS = "events"


class ScreenPolicy(enum.StrEnum):
    """Whether the candidate's screen is recorded as a second track."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"


class OwnerKind(enum.StrEnum):
    """Whose key a document is sealed under."""

    RECORDING = "recording"
    PERSON = "person"


class EraseBasis(enum.StrEnum):
    """Why somebody's data is erased; a code, so that nothing is told about a person."""

    REQUEST = "request"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    RETENTION_ENDED = "retention_ended"
    RECORDED_IN_ERROR = "recorded_in_error"


class MarkState(enum.StrEnum):
    """How far an erasure is."""

    MARKED = "marked"
    ERASING = "erasing"
    WITHDRAWN = "withdrawn"
    ERASED = "erased"


# What can still become of a mark is open.
OPEN_MARKS = (MarkState.MARKED, MarkState.ERASING)


class HoldReason(enum.StrEnum):
    """Why something must be kept; a hold beats every erasure."""

    DISPUTE = "dispute"
    INVESTIGATION = "investigation"
    AUTHORITY = "authority"


@dataclass(frozen=True)
class Owner:
    """What a sealed document is about: one recording, or one person over all their interviews."""

    kind: OwnerKind
    id: uuid.UUID


@dataclass(frozen=True)
class Question:
    """A prompt put to every candidate in the same words and order; times in seconds."""

    ordinal: int
    text: str
    prep_seconds: int
    answer_seconds: int
    hint: str = ""
    competency: str = ""


@dataclass(frozen=True)
class Competency:
    """An observable ability with a weight in percent; the weights of a model total 100."""

    id: str
    name: str
    weight: int


@dataclass(frozen=True)
class User:
    """A signed-in person as the rules see them."""

    account_id: uuid.UUID
    username: str
    display_name: str
    role: Role
    department_id: uuid.UUID | None
    session_id: str
    address: str
    locale: str = "zh"


@dataclass(frozen=True)
class Limits:
    """What one recording may use, stated in its packet."""

    bytes: int = 4 * 1024**3
    chunk_bytes: int = 8 * 1024**2
    epochs: int = 64
    recipients: int = 4
    grace_hours: int = 72

    @classmethod
    def of(cls, snapshot: Mapping[str, Any]) -> Limits:
        """Those that an attempt was invited with."""
        return cls(**snapshot.get("limits", {}))
