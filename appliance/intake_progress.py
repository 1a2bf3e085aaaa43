"""How far an attempt has come, as its own browser is told."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from appliance.domain import ConsentPurpose
from appliance.durable import full_is_told
from appliance.intake_folder import IntakeFolder
from appliance.intake_session import IntakeSession
from appliance.packet import Packet
from storage.vault import DATA, EpochState


def question_view(packet: Packet, ordinal: int) -> dict[str, Any]:
    """One question as the page shows it; times in seconds."""
    values = asdict(packet.questions[ordinal - 1])
    del values["competency"]
    return values


def progress(folder: IntakeFolder, session: IntakeSession) -> dict[str, Any]:
    """What has arrived, so that a browser can say what is missing and go on where it was."""
    state, packet = session.state, session.packet
    current = state.opened if state.opened > state.closed else 0
    return {
        "state": phase(session),
        "day_key": session.day_key.to_json(),
        "consent": dict(state.consent),
        "checked": state.checked,
        "closed": state.closed,
        "question": question_view(packet, current) if current else None,
        "tracks": _arrived(folder, session),
        "sealed": session.sealed,
        "receipt": state.receipt or None,
    }


def _arrived(folder: IntakeFolder, session: IntakeSession) -> dict[str, Any]:
    """Track → epoch → what is kept of it, and lasts: on a full disk that may raise IntakeFullError."""
    limit = session.packet.limits.bytes
    with full_is_told():
        return {
            name: {
                epoch: {"have": ranges(data_numbers(known)), "end": known.end is not None}
                for epoch, known in folder.journal(session.recording, name, limit).state().items()
            }
            for name in folder.tracks(session.recording)
        }


def phase(session: IntakeSession) -> str:
    """bound | consented | recording | finished | sealed | expired | superseded."""
    state = session.state
    if session.sealed:
        return "sealed"
    if state.finished:
        return "finished"
    if session.superseded or session.replaceable:
        return "superseded"
    if datetime.now(UTC) > session.packet.deadline:
        return "expired"
    if state.opened:
        return "recording"
    return "consented" if state.consent.get(ConsentPurpose.RECORD) else "bound"


def ranges(numbers: list[int]) -> list[list[int]]:
    """[0, 1, 2, 5] → [[0, 2], [5, 5]]."""
    result: list[list[int]] = []
    for number in sorted(numbers):
        if result and result[-1][1] == number - 1:
            result[-1][1] = number
        else:
            result.append([number, number])
    return result


def missing_ranges(known: EpochState | None, chunks: int) -> list[list[int]]:
    """Data chunks of 0 … chunks−1 that have not arrived, as inclusive ranges."""
    have = set(data_numbers(known)) if known else set()
    return ranges([number for number in range(chunks) if number not in have])


def data_numbers(known: EpochState) -> list[int]:
    return [number for number, chunk in known.chunks.items() if chunk.flag == DATA]


def proven(known: EpochState, chunks: int, digest: str) -> bool:
    """Whether what is kept is what a finish lists: `digest` (hex) is SHA-256 over the wire digests of data
    chunks 0 … chunks−1, and of the piece numbered `chunks` if the list knew of one: as a rule the end record.

    What arrives after the list was signed, from a browser that had died, makes it no less true.
    """
    whole = hashlib.sha256()
    for number in range(chunks):
        kept = known.chunks.get(number)
        if kept is None or kept.flag != DATA:
            return False
        whole.update(kept.digest)
    if whole.hexdigest() == digest:
        return True
    last = known.chunks.get(chunks)
    if last is None:
        return False
    whole.update(last.digest)
    return whole.hexdigest() == digest


def packet_view(session: IntakeSession) -> dict[str, Any]:
    """A packet as its bound browser may see it: no question's text, no digest of the secret.

    `day_key` is the binding's: a page of an earlier release, kept by its service worker, looks for it here.
    """
    packet = session.packet
    statement = packet.statement() | {"day_key": session.day_key.to_json()}
    for hidden in ("questions", "secret_sha256", "type", "version", "issued"):
        del statement[hidden]
    statement["plan"] = [
        {"prep_seconds": question.prep_seconds, "answer_seconds": question.answer_seconds}
        for question in packet.questions
    ]
    return statement
