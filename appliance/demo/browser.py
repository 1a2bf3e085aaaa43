"""A candidate's browser in Python, for the demo: seals a ready clip as the page seals a camera.

It speaks to intake's own functions, over the folder; everything else (keys, openings, chunks, signatures,
order) is what a browser does.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance.intake_folder import IntakeFolder
from appliance.intake_session import IntakeSession, authorise
from appliance.packet import canonical, to_timestamp
from appliance.stages import checkin, record
from storage.vault import (
    DATA,
    END,
    EVENTS_MIME,
    Clock,
    EpochWriter,
    build_opening,
    new_browser_key,
    sign_by_browser,
    wire_digest,
)

ADDRESS = "127.0.0.1"


@dataclass
class SealedEpoch:
    """An epoch being uploaded, and the digests of what was."""

    track: str
    writer: EpochWriter
    digests: list[bytes] = field(default_factory=list)

    def listed(self) -> dict[str, Any]:
        """As a finish statement lists it; the end record is there."""
        return {
            "track": self.track,
            "epoch": self.writer.opening.epoch.hex(),
            "chunks": len(self.digests) - 1,
            "digest": hashlib.sha256(b"".join(self.digests)).hexdigest(),
        }


class DemoBrowser:
    """One candidate's browser. `started` is the wall time of the recorder's start."""

    def __init__(self, folder: IntakeFolder, recording: uuid.UUID, secret: str, started: datetime) -> None:
        self._folder, self._recording, self._secret = folder, recording, secret
        self._key = new_browser_key()
        self._page = uuid.uuid4()
        self._started = started
        self._token = ""

    @property
    def _session(self) -> IntakeSession:
        return authorise(self._folder, self._recording, self._token)

    def begin(self) -> None:
        """Press Begin: bind this browser to the attempt."""
        point = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        page = self._page.hex
        request = {
            "secret": self._secret,
            "browser_key": _text(point),
            "page": page,
            "signature": _text(sign_by_browser(self._key, checkin.begin_message(self._recording, page))),
        }
        self._token = checkin.begin(self._folder, self._recording, request, ADDRESS, 0).token

    def check_and_agree(self) -> None:
        """Pass the device check and tick every purpose."""
        devices = dict.fromkeys(("browser", "camera", "microphone", "network"), "ok")
        checkin.check(self._folder, self._session, {**devices, "heard": True, "numbers": {}})
        session = self._session
        language = session.packet.language
        shown = session.packet.consent_texts[language]
        statement = {
            "language": language,
            "choices": dict.fromkeys(shown, True),
            "texts": {purpose: hashlib.sha256(text.encode()).hexdigest() for purpose, text in shown.items()},
        }
        checkin.consent(self._folder, session, self._signed("consent", statement), ADDRESS)

    def pass_questions(self, count: int) -> None:
        """Open and close each question in order."""
        for ordinal in range(1, count + 1):
            record.open_question(self._folder, self._session, ordinal)
            record.close_question(self._folder, self._session, ordinal)

    def upload(self, track: str, mime: str, chunks: Sequence[bytes], length_ms: float) -> SealedEpoch:
        """Seal and upload one epoch: every chunk and the end record."""
        day_key = self._session.packet.day_key
        wall_ms = self._started.timestamp() * 1000
        opening, key = build_opening(
            vault_id=self._session.packet.vault,
            recording_id=self._recording,
            track=track,
            day_key_id=day_key.id,
            recipients={day_key.id: day_key.public},
            browser_key=self._key,
            mime=mime,
            clock=Clock(self._page.bytes, 0.0, wall_ms),
        )
        epoch = SealedEpoch(track, EpochWriter(opening, key))
        for chunk in chunks:
            self._put(epoch, DATA, *epoch.writer.chunk(chunk))
        self._put(epoch, END, *epoch.writer.finish(length_ms, wall_ms + length_ms))
        return epoch

    def upload_events(self, events: Sequence[dict[str, Any]], length_ms: float) -> SealedEpoch:
        """Events with `at_ms` since the recorder's start, as one chunk of the events track."""
        wall_ms = self._started.timestamp() * 1000
        timed = [
            {"t": event["at_ms"], "wall": wall_ms + event["at_ms"], **_without(event, "at_ms")}
            for event in events
        ]
        return self.upload("events", EVENTS_MIME, [canonical(timed)], length_ms)

    def finish(self, *epochs: SealedEpoch) -> None:
        """Sign the list of everything that was recorded."""
        statement = {"epochs": [epoch.listed() for epoch in epochs]}
        record.finish(self._folder, self._session, self._signed("finish", statement))

    def _put(self, epoch: SealedEpoch, flag: int, number: int, body: bytes) -> None:
        place = record.ChunkPlace(epoch.track, epoch.writer.opening.epoch, number, flag)
        digest = wire_digest(body)
        record.put_chunk(self._folder, self._session, place, body, digest, 0)
        epoch.digests.append(digest)

    def _signed(self, kind: str, statement: dict[str, Any]) -> dict[str, str]:
        whole = {
            "type": kind,
            "version": 1,
            "recording": str(self._recording),
            "generation": self._session.binding.generation,
            "at": to_timestamp(datetime.now(UTC)),
            **statement,
        }
        text = canonical(whole)
        return {"statement": text.decode(), "signature": _text(sign_by_browser(self._key, text))}


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _without(event: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key != name}
