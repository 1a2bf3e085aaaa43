"""Who may do what to an attempt at intake: links, bound browsers, tokens, deadlines, closing."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from appliance.intake_errors import (
    BadRequestFieldError,
    BadSignatureError,
    ExpiredError,
    LinkUnknownError,
    SealedError,
    SupersededError,
    TokenMissingError,
    TokenUnknownError,
)
from appliance.intake_folder import IntakeFolder
from appliance.intake_state import AttemptState, Binding
from appliance.packet import DayKey, Packet
from storage.vault import verify_by_browser

TOKEN_BYTES = 32
MAX_STATEMENT_CHARS = 64 * 1024


@dataclass(frozen=True)
class IntakeSession:
    """A bound browser's request: the packet it was bound under, its binding and the attempt's state.

    `day_keys` and `deadline`: of all the links it was bound by, in whichever of its tabs. `day_key`: what it
    seals to now.
    """

    recording: uuid.UUID
    packet: Packet
    newest: Packet
    binding: Binding
    state: AttemptState
    sealed: bool
    day_key: DayKey
    day_keys: frozenset[str]
    deadline: datetime

    @property
    def superseded(self) -> bool:
        """Another browser has begun with a newer link: this one uploads what waits and does nothing else."""
        return self.state.superseded_at(self.binding) is not None

    @property
    def replaceable(self) -> bool:
        """This browser's time is over, and a newer link that gives more waits to be begun with."""
        newer = self.newest.generation > self.binding.generation
        return newer and self.packet.deadline < datetime.now(UTC) < self.newest.deadline

    def require_current(self, state: AttemptState | None = None) -> None:
        """Raise SupersededError once another browser has taken over. `state`: as seen under the lock."""
        if (state or self.state).superseded_at(self.binding) is not None:
            raise SupersededError

    def require_open(self, now: datetime | None = None) -> None:
        """Raise unless this browser may still record. Raises SealedError, SupersededError, ExpiredError."""
        if self.sealed:
            raise SealedError
        self.require_current()
        if (now or datetime.now(UTC)) > self.packet.deadline:
            raise ExpiredError

    def require_uploads(self, now: datetime | None = None) -> None:
        """Raise unless what was recorded is still taken. Raises SealedError, ExpiredError."""
        if self.sealed:
            raise SealedError
        if (now or datetime.now(UTC)) > self.packet.closes:
            raise ExpiredError


def authorise(folder: IntakeFolder, recording: uuid.UUID, token: str) -> IntakeSession:
    """The session a token stands for. Raises LinkUnknownError, TokenMissingError, TokenUnknownError."""
    packets = folder.packets(recording)
    if not packets:
        raise LinkUnknownError
    newest = packets[max(packets)]
    if not token:
        raise TokenMissingError
    state = folder.state(recording)
    binding = state.tokens.get(token_digest(token))
    if binding is None:
        raise TokenUnknownError
    packet = packets.get(binding.generation)
    if packet is None:
        raise LinkUnknownError
    sealed = folder.tombstone(recording) is not None
    # A browser that was bound again still sends what it sealed under its earlier day key.
    known = [each for each in state.all_bindings() if each.browser_key == binding.browser_key]
    own = [(each, packets[each.generation]) for each in (binding, *known) if each.generation in packets]
    day_keys = frozenset(day_key_of(*each).id for each in own)
    deadline = max(under.deadline for _, under in own)
    day_key = day_key_of(binding, packet)
    return IntakeSession(recording, packet, newest, binding, state, sealed, day_key, day_keys, deadline)


def day_key_of(binding: Binding, packet: Packet) -> DayKey:
    """What a binding seals to, to the end of its link."""
    return binding.day_key or packet.day_key


def token_digest(token: str) -> str:
    """What the records keep of a token: hex SHA-256 of its text."""
    return hashlib.sha256(token.encode()).hexdigest()


def decode_base64(text: object, what: str, length: int | None = None) -> bytes:
    """Bytes of a JSON field in standard base64. Raises BadRequestFieldError naming the field."""
    try:
        if not isinstance(text, str):
            raise BadRequestFieldError(what=what)
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequestFieldError(what=what) from error
    if length is not None and len(data) != length:
        raise BadRequestFieldError(what=what)
    return data


def utf8(text: str, what: str) -> bytes:
    """Bytes of a JSON string. Half a surrogate pair raises BadRequestFieldError."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise BadRequestFieldError(what=what) from error


def verify_browser_signature(browser_key: bytes, message: bytes, signature: bytes) -> None:
    """ECDSA P-256 with SHA-256, signature as r‖s (64 bytes). Raises BadSignatureError."""
    verify_by_browser(browser_key, signature, message, BadSignatureError())


def only_numbers(values: object, limit: int = 32) -> dict[str, float]:
    """A small mapping of short names to finite numbers. Raises BadRequestFieldError("numbers")."""
    if not isinstance(values, dict) or len(values) > limit:
        raise BadRequestFieldError(what="numbers")
    for name, value in values.items():
        sound = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12
        if not sound or len(name) > 32 or not name.isascii():
            raise BadRequestFieldError(what="numbers")
    return values


def signed_statement(session: IntakeSession, request: dict[str, Any], expected_type: str) -> dict[str, Any]:
    """The statement of {statement: JSON text, signature: base64}, proven by the session's browser key.

    Raises BadRequestFieldError, BadSignatureError.
    """
    text = request.get("statement")
    if not isinstance(text, str) or len(text) > MAX_STATEMENT_CHARS:
        raise BadRequestFieldError(what="statement")
    signature = decode_base64(request.get("signature"), "signature", 64)
    verify_browser_signature(session.binding.browser_key, utf8(text, "statement"), signature)
    try:
        statement = json.loads(text, object_pairs_hook=_unambiguous, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise BadRequestFieldError(what="statement") from error
    if not isinstance(statement, dict):
        raise BadRequestFieldError(what="statement")
    generation = statement.get("generation")
    about = (statement.get("type"), statement.get("recording"), generation)
    if about != (expected_type, str(session.recording), session.binding.generation) or generation is True:
        raise BadRequestFieldError(what="statement")
    return statement


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A signed text means one thing to every reader, so no name stands twice."""
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a name stands twice")
    return values


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")
