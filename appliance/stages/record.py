"""Recording, on the intake side: questions one by one, numbered chunks, heartbeats, the signed finish.

Everything here is ciphertext or an enumerated state. A chunk counts once its journal has been fsynced.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from appliance.domain import ConsentPurpose, ScreenPolicy, TrackKind
from appliance.durable import StrangeFileError, full_is_told
from appliance.errors import FupanError
from appliance.intake_errors import (
    BadDigestError,
    BadOpeningError,
    BadRequestFieldError,
    ChunksMissingError,
    ChunkTooLargeError,
    ConsentMissingError,
    DifferentChunkError,
    EmptyChunkError,
    FinishedDifferentlyError,
    FinishedError,
    IntakeFullError,
    LateEpochError,
    QuestionOrderError,
    RecordingTooLargeError,
    SealedError,
    SupersededError,
    TooManyEpochsError,
)
from appliance.intake_folder import IntakeFolder
from appliance.intake_progress import missing_ranges, proven, question_view
from appliance.intake_session import IntakeSession, only_numbers, signed_statement
from appliance.intake_state import AttemptState, RecordKind
from appliance.packet import Packet, to_timestamp
from storage.vault import (
    DATA,
    END,
    MAX_OPENING_BYTES,
    BadOpening,
    Journal,
    JournalConflict,
    Opening,
    VaultFull,
    parse_opening,
    verify_opening,
    wire_digest,
)

MAX_CHUNK_NUMBER = 1_000_000
TAG_BYTES = 16
_EPOCH = re.compile(r"[0-9a-f]{32}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
BODY_OVERHEAD = MAX_OPENING_BYTES + TAG_BYTES
# How far a candidate's clock may be ahead of ours when the two say what came first.
CLOCK_SLACK_SECONDS = 10


@dataclass(frozen=True)
class ChunkPlace:
    """Where a chunk belongs: track, epoch (16 bytes), number, flag (0 data, 1 end record)."""

    track: str
    epoch: bytes
    number: int
    flag: int


# --- questions ---------------------------------------------------------------------------------------------


def open_question(folder: IntakeFolder, session: IntakeSession, ordinal: int) -> dict[str, Any]:
    """Hand out question `ordinal`, once every one before it is closed. Asking again gives it again."""
    session.require_open()

    def body(state: AttemptState) -> dict[str, Any] | None:
        session.require_current(state)
        if state.finished:
            raise FinishedError
        if not state.consent.get(ConsentPurpose.RECORD):
            raise ConsentMissingError
        if ordinal != state.closed + 1 or ordinal > len(session.packet.questions):
            raise QuestionOrderError
        return None if state.opened >= ordinal else {"event": "question_opened", "question": ordinal}

    folder.append(session.recording, RecordKind.STATE, body)
    return question_view(session.packet, ordinal)


def close_question(folder: IntakeFolder, session: IntakeSession, ordinal: int) -> None:
    """The answer is over; closing twice is closing once."""
    if session.sealed:
        raise SealedError

    def body(state: AttemptState) -> dict[str, Any] | None:
        session.require_current(state)
        if ordinal <= state.closed and ordinal >= 1:
            return None
        if state.finished:
            raise FinishedError
        if ordinal != state.opened:
            raise QuestionOrderError
        return {"event": "question_closed", "question": ordinal}

    folder.append(session.recording, RecordKind.STATE, body)


# --- chunks ------------------------------------------------------------------------------------------------


def put_chunk(
    folder: IntakeFolder,
    session: IntakeSession,
    place: ChunkPlace,
    body: bytes,
    digest: bytes,
) -> bool:
    """Store one sealed chunk; durable when this returns. True when it is new, False when it was there.

    `body` is opening ‖ ciphertext and `digest` the SHA-256 that the browser states for it. Order is free.
    """
    session.require_uploads()
    packet = session.packet
    _check_place(packet, place)
    if len(body) > packet.limits.chunk_bytes + BODY_OVERHEAD:
        raise ChunkTooLargeError(limit=packet.limits.chunk_bytes)
    if not body:
        raise EmptyChunkError
    if wire_digest(body) != digest:
        raise BadDigestError
    admitted = folder.admitted_openings(session.recording)
    opening = _checked_opening(session, place, body, admitted)
    ciphertext = memoryview(body)[opening.end :]
    if len(ciphertext) <= TAG_BYTES:
        raise EmptyChunkError
    with full_is_told():
        journal = folder.journal(session.recording, place.track, packet.limits.bytes)
        known = opening is admitted.get(place.epoch) or place.epoch.hex() in journal.state()
        try:
            # Counting the epochs and keeping the first piece of a further one are one step.
            with contextlib.nullcontext() if known else folder.locked(session.recording):
                if not known and place.epoch.hex() not in journal.state():
                    _admit_epoch(folder, session, opening)
                full = _no_room(folder, session, len(body))
                if full is not None and not _has_arrived(journal, place, digest):
                    raise full
                where = (place.epoch, place.number, place.flag)
                result = journal.append(*where, opening.raw, ciphertext, digest)
        except JournalConflict as error:
            _keep_conflict(folder, session.recording, place, body)
            raise DifferentChunkError from error
        except VaultFull as error:
            if error.kind == "limit":
                raise RecordingTooLargeError(limit=packet.limits.bytes) from error
            raise
    admitted[place.epoch] = opening  # only now is the epoch in the journal, where the next one counts it
    # The seal puts its tombstone before it reads the journals. So a chunk it did not read finds the tombstone
    # here, and the browser is not told that it was kept.
    tombstone = folder.tombstone(session.recording)
    if tombstone is not None:
        if tombstone.get("reason") == "erased":
            _remove_what_this_made(folder, session.recording)
        raise SealedError
    return result == "created"


def _remove_what_this_made(folder: IntakeFolder, recording: uuid.UUID) -> None:
    """An erasure removed the journal and this request made it anew. Each that does removes all, so the last
    leaves nothing; what cannot go now goes over night, as what a killed one left."""
    with contextlib.suppress(StrangeFileError, OSError):
        folder.remove_recording(recording)


def _check_place(packet: Packet, place: ChunkPlace) -> None:
    allowed = {TrackKind.CAMERA, TrackKind.EVENTS}
    if packet.policy.screen != ScreenPolicy.OFF:
        allowed.add(TrackKind.SCREEN)
    if place.track not in allowed:
        raise BadRequestFieldError(what="track")
    if place.flag not in (DATA, END):
        raise BadRequestFieldError(what="flag")
    if not 0 <= place.number <= MAX_CHUNK_NUMBER:
        raise BadRequestFieldError(what="number")


def _checked_opening(
    session: IntakeSession, place: ChunkPlace, body: bytes, admitted: Mapping[bytes, Opening]
) -> Opening:
    """The opening in a body, proven to be this browser's for this place. Raises BadOpeningError.

    A body that begins with the bytes of an admitted one has that one, read and verified before.
    """
    packet = session.packet
    opening = admitted.get(place.epoch)
    if opening is not None and not body.startswith(opening.raw):
        opening = None
    was_admitted = opening is not None
    try:
        opening = opening or parse_opening(body)
        if opening.epoch != place.epoch or opening.track != place.track:
            raise BadOpeningError(kind="place")
        if opening.recording_id != session.recording or opening.vault_id != packet.vault:
            raise BadOpeningError(kind="recording")
        if opening.browser_key != session.binding.browser_key:
            raise BadOpeningError(kind="browser")
        recipients = [recipient.id for recipient in opening.recipients]
        known = opening.day_key_id in session.day_keys and opening.day_key_id in recipients
        if not known or len(recipients) > packet.limits.recipients:
            raise BadOpeningError(kind="recipient")
        if not was_admitted:
            verify_opening(opening)
    except BadOpening as error:
        raise BadOpeningError(kind=error.kind) from error
    return opening


def _admit_epoch(folder: IntakeFolder, session: IntakeSession, opening: Opening) -> None:
    """A new epoch is taken from the newest browser until its finish or the deadline, and later, or from an
    earlier browser, if it has waited since before; always within the packet's number of epochs."""
    state, ahead_ms = session.state, session.binding.clock_ahead_ms
    if not _opened_before(opening, state.superseded_at(session.binding), ahead_ms):
        raise SupersededError
    if not _opened_before(opening, state.finished_at, ahead_ms):
        raise FinishedError
    # Until then it is in time whatever its browser's clock says.
    if datetime.now(UTC) > session.deadline and not _opened_before(opening, session.deadline, ahead_ms):
        raise LateEpochError
    if not session.state.consent.get(ConsentPurpose.RECORD):
        raise ConsentMissingError
    limits = session.packet.limits
    tracks = folder.tracks(session.recording)
    epochs = sum(len(folder.journal(session.recording, name, limits.bytes).state()) for name in tracks)
    if epochs >= limits.epochs:
        raise TooManyEpochsError(limit=limits.epochs)
    if epochs == 0:
        folder.require_room_to_begin()


def _opened_before(opening: Opening, moment: datetime | None, ahead_ms: float) -> bool:
    """Whether the signed clock of an epoch stands before a moment of our clock; None has not come yet.

    `ahead_ms`: how far the browser's clock is ahead, as it was when the browser began.
    """
    if moment is None:
        return True
    return opening.clock.wall_ms - ahead_ms <= (moment.timestamp() + CLOCK_SLACK_SECONDS) * 1000


def _no_room(folder: IntakeFolder, session: IntakeSession, size: int) -> FupanError | None:
    """Why `size` further bytes would not be taken, if so."""
    limit = session.packet.limits.bytes
    if folder.recorded_bytes(session.recording) + size > limit:
        return RecordingTooLargeError(limit=limit)
    try:
        folder.require_room_to_go_on()
    except IntakeFullError as error:
        return error
    return None


def _has_arrived(journal: Journal, place: ChunkPlace, digest: bytes) -> bool:
    known = journal.state().get(place.epoch.hex())
    chunk = known.chunks.get(place.number) if known else None
    return chunk is not None and chunk.digest == digest


def _keep_conflict(folder: IntakeFolder, recording: uuid.UUID, place: ChunkPlace, body: bytes) -> None:
    """A retry is byte-equal, so a different chunk means a fault: keep both and tell the inside."""
    name = f"{place.track}.{place.epoch.hex()}.{place.number}.{place.flag}"
    fresh = folder.keep_conflict(recording, name, body)
    if not fresh:
        return
    about = {"track": place.track, "epoch": place.epoch.hex(), "n": place.number, "flag": place.flag}
    folder.append(recording, RecordKind.STATE, lambda _: {"event": "chunk_conflict", **about})


# --- heartbeats ---------------------------------------------------------------------------------------------


def heartbeat(folder: IntakeFolder, session: IntakeSession, request: dict[str, Any]) -> None:
    """Keep the newest live figures: numbers only, of the browser that records."""
    session.require_uploads()
    session.require_current()
    folder.put_heartbeat(session.recording, {"numbers": only_numbers(request.get("numbers", {}))})


# --- finish ------------------------------------------------------------------------------------------------


def finish(folder: IntakeFolder, session: IntakeSession, request: dict[str, Any]) -> dict[str, Any]:
    """Take the signed list of everything recorded and give its receipt. Idempotent by content.

    The statement is {"type": "finish", "version": 1, recording, generation, epochs: [{track, epoch, chunks,
    digest}], at}; digest = hex SHA-256 over the wire digests of chunks 0 … chunks−1 and of the end record.
    Raises ChunksMissingError while anything listed has not arrived.
    """
    if request.get("statement") == session.state.finish_statement and session.state.finished:
        return session.state.receipt
    session.require_uploads()
    session.require_current()
    statement = signed_statement(session, request, "finish")
    epochs = _listed_epochs(statement)
    with full_is_told():
        _require_arrived(folder, session, epochs)
    text = request["statement"]
    receipt = {
        "number": hashlib.sha256(text.encode()).hexdigest()[:12],
        "recording": str(session.recording),
        "epochs": len(epochs),
        "chunks": sum(epoch["chunks"] for epoch in epochs),
        "bytes": folder.recorded_bytes(session.recording),
        "at": to_timestamp(datetime.now(UTC)),
    }

    def body(state: AttemptState) -> dict[str, Any] | None:
        if state.finished:
            if state.finish_statement != text:
                raise FinishedDifferentlyError
            return None
        session.require_current(state)
        return {
            "generation": session.binding.generation,
            "statement": text,
            "signature": request["signature"],
            "receipt": receipt,
        }

    return folder.append(session.recording, RecordKind.FINISH, body).receipt


def _listed_epochs(statement: dict[str, Any]) -> list[dict[str, Any]]:
    """The epochs of a finish statement, each with the right fields. Raises BadRequestFieldError."""
    epochs = statement.get("epochs")
    if not isinstance(epochs, list) or not 1 <= len(epochs) <= 1024:
        raise BadRequestFieldError(what="epochs")
    for epoch in epochs:
        sound = (
            isinstance(epoch, dict)
            and set(epoch) == {"track", "epoch", "chunks", "digest"}
            and isinstance(epoch["track"], str)
            and epoch["track"] in set(TrackKind)
            and isinstance(epoch["epoch"], str)
            and _EPOCH.fullmatch(epoch["epoch"])
            and type(epoch["chunks"]) is int
            and 0 <= epoch["chunks"] <= MAX_CHUNK_NUMBER
            and isinstance(epoch["digest"], str)
            and _DIGEST.fullmatch(epoch["digest"])
        )
        if not sound:
            raise BadRequestFieldError(what="epochs")
    names = {(epoch["track"], epoch["epoch"]) for epoch in epochs}
    if len(names) != len(epochs) or sum(epoch["chunks"] for epoch in epochs) > MAX_CHUNK_NUMBER:
        raise BadRequestFieldError(what="epochs")
    return epochs


def _require_arrived(folder: IntakeFolder, session: IntakeSession, epochs: list[dict[str, Any]]) -> None:
    missing = []
    present = folder.tracks(session.recording)
    for epoch in epochs:
        known = None
        if epoch["track"] in present:
            journal = folder.journal(session.recording, epoch["track"], session.packet.limits.bytes)
            known = journal.state().get(epoch["epoch"])
        gaps = missing_ranges(known, epoch["chunks"])
        if known is not None and proven(known, epoch["chunks"], epoch["digest"]):
            continue
        # An epoch of a killed browser has no end record, and its digest then says so by fitting without one.
        ended = known is not None and known.end is not None
        if ended and not gaps:
            raise BadDigestError
        missing.append({"track": epoch["track"], "epoch": epoch["epoch"], "missing": gaps, "end": not ended})
    if missing:
        raise ChunksMissingError(missing)
