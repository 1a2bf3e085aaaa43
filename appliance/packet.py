"""Signed statements that the inside puts before intake: packets, tombstones, day keys. Pure; Ed25519.

An envelope is canonical JSON {"statement": "<canonical JSON text>", "key": "<id>", "signature": "<base64>"}.
The signature covers the UTF-8 bytes of the statement's text exactly as they stand in the envelope, so no one
has to canonicalise again to check it. Each statement names its `type`, so one kind never passes for another.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from appliance.domain import Limits, Question, ScreenPolicy
from appliance.errors import FupanError

VERSION = 1
MAX_ENVELOPE_BYTES = 512 * 1024
_HEX_DIGEST = re.compile(r"[0-9a-f]{64}")


class PacketError(FupanError):
    """A signed statement does not prove genuine or does not say what it must; `kind` names why."""

    status, code = 422, "bad_packet"
    message = "The signed statement was refused (%(kind)s)."

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(kind=kind)


def canonical(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def to_timestamp(moment: datetime) -> str:
    """UTC with milliseconds and a Z; the form of every time in JSON."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_timestamp(text: str) -> datetime:
    """Inverse of to_timestamp. Raises PacketError("time")."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise PacketError("time") from error
    if moment.tzinfo is None:
        raise PacketError("time")
    return moment.astimezone(UTC)


# --- the link's secret -------------------------------------------------------------------------------------


def new_secret() -> str:
    """128 random bits for the fragment of a link, base64url without padding (22 characters)."""
    return secrets.token_urlsafe(16)


def secret_digest(secret: str) -> str:
    """What the packet holds of the secret: hex SHA-256 of its text as it stands in the link."""
    return hashlib.sha256(secret.encode()).hexdigest()


def link(intake_url: str, recording: uuid.UUID, secret: str) -> str:
    """The address a candidate gets by mail; what follows # never leaves the browser by itself."""
    return f"{intake_url.rstrip('/')}/i/{recording}#{secret}"


# --- envelopes ---------------------------------------------------------------------------------------------


def seal_envelope(statement: Mapping[str, Any], key_id: str, sign: Callable[[bytes], bytes]) -> bytes:
    """Sign one statement. `sign` takes the statement's bytes and returns 64 bytes of Ed25519 signature."""
    text = canonical(statement)
    signature = base64.b64encode(sign(text)).decode()
    return canonical({"statement": text.decode(), "key": key_id, "signature": signature})


def sign_envelope(statement: Mapping[str, Any], key_id: str, private_key: Ed25519PrivateKey) -> bytes:
    """seal_envelope with a key at hand."""
    return seal_envelope(statement, key_id, private_key.sign)


def open_envelope(raw: bytes, trusted: Mapping[str, bytes], expected_type: str) -> dict[str, Any]:
    """The statement inside, proven by one of the trusted public keys (id → 32 bytes).

    Raises PacketError: `size`, `envelope`, `unknown_key`, `signature`, `statement`, `type` or `version`.
    """
    if len(raw) > MAX_ENVELOPE_BYTES:
        raise PacketError("size")
    try:
        envelope = json.loads(raw)
        text, key_id = envelope["statement"].encode(), envelope["key"]
        signature = base64.b64decode(envelope["signature"], validate=True)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        raise PacketError("envelope") from error
    public = trusted.get(key_id) if isinstance(key_id, str) else None
    if public is None:
        raise PacketError("unknown_key")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, text)
    except (InvalidSignature, ValueError) as error:
        raise PacketError("signature") from error
    try:
        statement = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PacketError("statement") from error
    if not isinstance(statement, dict):
        raise PacketError("statement")
    if statement.get("type") != expected_type:
        raise PacketError("type")
    if statement.get("version") != VERSION:
        raise PacketError("version")
    return statement


# --- day keys ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DayKey:
    """Public half of a day key (65 bytes, uncompressed P-256) and, where it came with one, the envelope that
    states it. `id` is its day (UTC, YYYY-MM-DD)."""

    id: str
    public: bytes
    signature: str = ""

    def to_json(self) -> dict[str, str]:
        return {"id": self.id, "public": base64.b64encode(self.public).decode(), "signature": self.signature}


def day_key_statement(vault: uuid.UUID, key_id: str, public: bytes, day: str) -> dict[str, Any]:
    """What a service key says about a day key; `day` is YYYY-MM-DD."""
    encoded = base64.b64encode(public).decode()
    return {
        "version": VERSION,
        "type": "day_key",
        "vault": str(vault),
        "id": key_id,
        "public": encoded,
        "day": day,
    }


# --- packets -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Policy:
    """What this interview records and requires. No pause: recording runs from start to finish."""

    screen: ScreenPolicy = ScreenPolicy.OFF
    analysis: str = "offered"
    allow_pause: bool = False
    min_seconds: int = 0


@dataclass(frozen=True)
class Packet:
    """Everything intake knows about one attempt: what is shown, what may be stored, for whom, until when.

    `generation` grows by one with each fresh link. `day_key` was in use when the packet was signed and
    serves while intake has no list of them. `consent_texts`: {"version", language: {purpose: text}}.
    `kept_days` 0 means that the page names no number of days.
    """

    vault: uuid.UUID
    recording: uuid.UUID
    generation: int
    site: str
    title: str
    candidate_name: str
    language: str
    questions: tuple[Question, ...]
    deadline: datetime
    issued: datetime
    secret_sha256: str
    day_key: DayKey
    consent_texts: Mapping[str, Any]
    guide: str = ""
    template: str = "screening"
    policy: Policy = field(default_factory=Policy)
    limits: Limits = field(default_factory=Limits)
    kept_days: int = 0
    contact: str = ""

    @property
    def closes(self) -> datetime:
        """When waiting uploads are no longer taken: the deadline and the grace."""
        return self.deadline + timedelta(hours=self.limits.grace_hours)

    def statement(self) -> dict[str, Any]:
        """The signed form."""
        return {
            "version": VERSION,
            "type": "packet",
            "vault": str(self.vault),
            "recording": str(self.recording),
            "generation": self.generation,
            "site": self.site,
            "title": self.title,
            "candidate_name": self.candidate_name,
            "language": self.language,
            "template": self.template,
            "policy": asdict(self.policy),
            "questions": [_question_statement(question) for question in self.questions],
            "limits": asdict(self.limits),
            "deadline": to_timestamp(self.deadline),
            "issued": to_timestamp(self.issued),
            "secret_sha256": self.secret_sha256,
            "day_key": self.day_key.to_json(),
            "consent_texts": dict(self.consent_texts),
            "guide": self.guide,
            "kept_days": self.kept_days,
            "contact": self.contact,
        }


def _question_statement(question: Question) -> dict[str, Any]:
    """A question as intake may know it: without the competency that it is scored by."""
    values = asdict(question)
    del values["competency"]
    return values


def parse_packet(statement: Mapping[str, Any]) -> Packet:
    """A packet from its proven statement. Raises PacketError("fields") if anything is amiss."""
    try:
        values: dict[str, Any] = {
            name: statement[name]
            for name in ("site", "title", "candidate_name", "language", "template", "guide", "contact")
        }
        if not all(isinstance(value, str) for value in values.values()):
            raise PacketError("fields")
        questions = tuple(Question(**question) for question in statement["questions"])
        policy = dict(statement["policy"])
        policy["screen"] = ScreenPolicy(policy["screen"])
        key = statement["day_key"]
        packet = Packet(
            vault=uuid.UUID(statement["vault"]),
            recording=uuid.UUID(statement["recording"]),
            generation=statement["generation"],
            questions=questions,
            deadline=from_timestamp(statement["deadline"]),
            issued=from_timestamp(statement["issued"]),
            secret_sha256=statement["secret_sha256"],
            day_key=DayKey(key["id"], base64.b64decode(key["public"], validate=True), key["signature"]),
            consent_texts=statement["consent_texts"],
            policy=Policy(**policy),
            limits=Limits(**statement["limits"]),
            kept_days=statement["kept_days"],
            **values,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PacketError("fields") from error
    _check_packet(packet)
    return packet


def _check_packet(packet: Packet) -> None:
    """Bounds that types alone do not say."""
    numbers = [packet.generation, *(getattr(packet.limits, each.name) for each in fields(Limits))]
    sound = (
        all(isinstance(number, int) and number > 0 for number in numbers)
        and bool(_HEX_DIGEST.fullmatch(packet.secret_sha256))
        and len(packet.day_key.public) == 65
        and 1 <= len(packet.questions) <= 100
        and [question.ordinal for question in packet.questions] == list(range(1, len(packet.questions) + 1))
        and all(question.answer_seconds > 0 and question.prep_seconds >= 0 for question in packet.questions)
        and packet.policy.analysis in ("offered", "off")
        and "record" in packet.consent_texts.get(packet.language, {})
    )
    if not sound:
        raise PacketError("fields")


# --- the erase ledger --------------------------------------------------------------------------------------


def ledger_of(statement: Mapping[str, Any]) -> tuple[int, str]:
    """How far the erase ledger went when a tombstone or checkpoint was signed: how many entries, and the hex
    SHA-256 of the last. Raises PacketError("fields")."""
    try:
        count, head = statement["ledger"]["count"], statement["ledger"]["head"]
    except (KeyError, TypeError) as error:
        raise PacketError("fields") from error
    if type(count) is not int or count < 0 or not isinstance(head, str) or not _HEX_DIGEST.fullmatch(head):
        raise PacketError("fields")
    return count, head


# --- tombstones --------------------------------------------------------------------------------------------


def tombstone_statement(
    vault: uuid.UUID, recording: uuid.UUID, reason: str, at: datetime | None = None
) -> dict[str, Any]:
    """Says that intake takes nothing more for a recording; `reason` is `sealed`, `discarded` or `erased`.

    The keyholder adds `ledger`, as to each checkpoint: a restore must not go back behind what was erased.
    """
    return {
        "version": VERSION,
        "type": "tombstone",
        "vault": str(vault),
        "recording": str(recording),
        "reason": reason,
        "at": to_timestamp(at or datetime.now(UTC)),
    }
