"""Check-in, on the intake side: a browser is bound, devices are checked, consent is given and withdrawn."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from appliance.day_list import due
from appliance.domain import ConsentPurpose
from appliance.intake_errors import (
    BadRequestFieldError,
    BoundElsewhereError,
    ExpiredError,
    FinishedError,
    LinkReplacedError,
    LinkUnknownError,
)
from appliance.intake_folder import IntakeFolder
from appliance.intake_session import (
    TOKEN_BYTES,
    IntakeSession,
    day_key_of,
    decode_base64,
    only_numbers,
    signed_statement,
    token_digest,
    utf8,
    verify_browser_signature,
)
from appliance.intake_state import CHECK_RESULTS, CHECKS, AttemptState, RecordKind, statement_digest
from appliance.packet import Packet, secret_digest

MAX_WALL_MS = 2**53 - 1  # beyond it a page's whole numbers are not exact


@dataclass(frozen=True)
class Begun:
    """What pressing Begin gave the browser; the token is shown to it once and kept only as a digest."""

    token: str
    packet: Packet
    state: AttemptState


def begin_message(recording: uuid.UUID, page: str) -> bytes:
    """What the browser key signs to show that it is at hand."""
    return f"fupan begin v1\n{recording}\n{page}".encode()


def begin(folder: IntakeFolder, recording: uuid.UUID, request: dict[str, Any], address: str) -> Begun:
    """Bind a browser to its attempt, or give the bound browser a further token.

    `request` is {secret, browser_key, page, signature, wall_ms: the browser's clock}. Which day it is, and so
    which day key the link is bound with to its end, our clock says. Another browser than the bound one gets
    BoundElsewhereError, and the wish for a fresh link is noted once for each generation.
    """
    packet, newest = _packet_for_secret(folder, recording, request.get("secret"))
    key = decode_base64(request.get("browser_key"), "browser_key", 65)
    page = request.get("page")
    if not isinstance(page, str) or not 1 <= len(page) <= 64:
        raise BadRequestFieldError(what="page")
    utf8(page, "page")
    signature = decode_base64(request.get("signature"), "signature", 64)
    verify_browser_signature(key, begin_message(recording, page), signature)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    now = _now()
    ahead = _clock_ahead_ms(request.get("wall_ms"), now)
    fresh = due(packet, folder.day_keys(), now)

    def body(state: AttemptState) -> dict[str, Any]:
        bound = state.bindings.get(packet.generation)
        if packet is not newest:
            # Until another browser begins with the newer link, the earlier one goes on serving its own.
            if bound is None or bound.browser_key != key or state.superseded_at(bound) is not None:
                raise LinkReplacedError
        elif bound is None:
            _refuse_new_browser(folder, packet, state, now)
        elif bound.browser_key != key:
            raise FinishedError if state.finished else BoundElsewhereError
        day_key = fresh if bound is None else day_key_of(bound, packet)
        return {
            "generation": packet.generation,
            "browser_key": request["browser_key"],
            "page": page,
            "signature": request["signature"],
            "token_sha256": token_digest(token),
            "address": address,
            "clock_ahead_ms": ahead,
            "day_key": {"id": day_key.id, "public": base64.b64encode(day_key.public).decode()},
        }

    try:
        state = folder.append(recording, RecordKind.BOUND, body)
    except BoundElsewhereError:
        _request_fresh_link(folder, recording, packet.generation, address)
        raise
    return Begun(token, packet, state)


def _now() -> datetime:
    return datetime.now(UTC)


def _clock_ahead_ms(wall_ms: object, now: datetime) -> int:
    """How far a browser's clock is ahead of ours. One that does not say is taken to be right."""
    if wall_ms is None:
        return 0
    if not isinstance(wall_ms, int | float) or isinstance(wall_ms, bool) or not 0 <= wall_ms <= MAX_WALL_MS:
        raise BadRequestFieldError(what="wall_ms")
    return round(wall_ms - now.timestamp() * 1000)


def _packet_for_secret(folder: IntakeFolder, recording: uuid.UUID, secret: object) -> tuple[Packet, Packet]:
    """The newest packet that the secret belongs to, and the newest of all. Raises LinkUnknownError."""
    digest = secret_digest(secret) if isinstance(secret, str) and secret.isascii() else ""
    packets = [packet for _, packet in sorted(folder.packets(recording).items(), reverse=True)]
    for packet in packets:
        if hmac.compare_digest(digest, packet.secret_sha256):
            return packet, packets[0]
    raise LinkUnknownError


def _refuse_new_browser(folder: IntakeFolder, packet: Packet, state: AttemptState, now: datetime) -> None:
    """A first browser is not bound once the interview is over, nor when the disk is nearly full."""
    if state.finished or folder.tombstone(packet.recording) is not None:
        raise FinishedError
    if now > packet.deadline:
        raise ExpiredError
    folder.require_room_to_begin()


def _request_fresh_link(folder: IntakeFolder, recording: uuid.UUID, generation: int, address: str) -> None:
    def body(state: AttemptState) -> dict[str, Any] | None:
        if generation in state.rebind_generations:
            return None
        return {"generation": generation, "address": address}

    folder.append(recording, RecordKind.REBIND_REQUESTED, body)


def check(folder: IntakeFolder, session: IntakeSession, request: dict[str, Any]) -> None:
    """Store what the device check found: enumerated results and numbers, no free text."""
    session.require_open()
    results = {name: request.get(name, "skipped") for name in CHECKS}
    for name, result in results.items():
        if result not in CHECK_RESULTS:
            raise BadRequestFieldError(what=name)
    numbers = only_numbers(request.get("numbers", {}))
    heard = request.get("heard") is True

    def body(state: AttemptState) -> dict[str, Any]:
        session.require_current(state)
        return {**results, "heard": heard, "numbers": numbers}

    folder.append(session.recording, RecordKind.CHECKED, body)


def consent(folder: IntakeFolder, session: IntakeSession, request: dict[str, Any], address: str) -> None:
    """Store a signed consent receipt; being recorded must be agreed to, analysis may be declined.

    The statement is {"type": "consent", "version": 1, recording, generation, language, choices:
    {purpose: bool}, texts: {purpose: hex SHA-256 of the text shown}, at}. Each counts once: sent again it is
    the same consent while it is the newest, and refused once another word has followed it.
    """
    session.require_open()
    statement = signed_statement(session, request, "consent")
    offered = _offered(session.packet)
    choices, texts = statement.get("choices"), statement.get("texts")
    if not isinstance(choices, dict) or set(choices) != set(offered):
        raise BadRequestFieldError(what="choices")
    if not all(isinstance(choice, bool) for choice in choices.values()) or not choices["record"]:
        raise BadRequestFieldError(what="choices")
    shown = session.packet.consent_texts.get(str(statement.get("language")))
    if not isinstance(shown, dict):  # unknown, or one of its other fields
        raise BadRequestFieldError(what="language")
    hashes = {purpose: hashlib.sha256(shown.get(purpose, "").encode()).hexdigest() for purpose in offered}
    if texts != hashes:
        raise BadRequestFieldError(what="texts")

    digest = statement_digest(request["statement"])

    def body(state: AttemptState) -> dict[str, Any] | None:
        session.require_current(state)
        if digest == state.newest_consent:
            return None
        if digest in state.consent_statements:
            raise BadRequestFieldError(what="statement")
        return _receipt(session, request, address)

    folder.append(session.recording, RecordKind.CONSENT, body)


def _offered(packet: Packet) -> list[str]:
    """The purposes this interview asks for."""
    if packet.policy.analysis == "off":
        return [ConsentPurpose.RECORD.value]
    return [ConsentPurpose.RECORD.value, ConsentPurpose.ANALYSIS.value]


def withdraw(folder: IntakeFolder, session: IntakeSession, request: dict[str, Any], address: str) -> None:
    """Withdraw consent to analysis, at any time, also after the end. Saying it twice is one withdrawal.

    The statement is {"type": "withdraw", "version": 1, recording, generation, purpose: "analysis", at}.
    """
    statement = signed_statement(session, request, "withdraw")
    if statement.get("purpose") != ConsentPurpose.ANALYSIS:
        raise BadRequestFieldError(what="purpose")
    body = _receipt(session, request, address)

    def once(state: AttemptState) -> dict[str, Any] | None:
        return body if state.consent.get(ConsentPurpose.ANALYSIS) else None

    folder.append(session.recording, RecordKind.CONSENT_WITHDRAWN, once)


def _receipt(session: IntakeSession, request: dict[str, Any], address: str) -> dict[str, Any]:
    return {
        "generation": session.binding.generation,
        "statement": request["statement"],
        "signature": request["signature"],
        "address": address,
    }
