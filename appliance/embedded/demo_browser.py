"""A candidate's browser without a screen: seals and sends a finished clip exactly as the page does."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import http.client
import json
import ssl
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance.errors import FupanError
from appliance.packet import canonical, to_timestamp
from appliance.stages.checkin import begin_message
from storage.vault import EVENTS_MIME, Clock, EpochWriter, build_opening, new_browser_key, sign_by_browser


class IntakeRefusedError(FupanError):
    """Intake said no to what a browser sent."""

    status, code = 502, "intake_refused"
    message = "The candidates' pages refused %(what)s."


@dataclass
class Epoch:
    """One epoch with the digests of what was sent of it."""

    track: str
    writer: EpochWriter
    chunks: int = 0
    digests: list[bytes] = field(default_factory=list)

    def listed(self) -> dict[str, Any]:
        """As the finish statement lists it."""
        whole = hashlib.sha256(b"".join(self.digests)).hexdigest()
        epoch = self.writer.opening.epoch.hex()
        return {"track": self.track, "epoch": epoch, "chunks": self.chunks, "digest": whole}


class DemoBrowser:
    """One browser on one link. `clock` starts at zero when it is made, in milliseconds."""

    def __init__(self, link: str, certificate: Path | None = None) -> None:
        parts = urlsplit(link)
        self._host, self._port = parts.hostname or "", parts.port
        self._recording = uuid.UUID(parts.path.rsplit("/", 1)[1])
        self._secret = parts.fragment
        self._tls = ssl.create_default_context(cafile=str(certificate)) if parts.scheme == "https" else None
        self._key: EllipticCurvePrivateKey = new_browser_key()
        self._page = uuid.uuid4()
        self._token = ""
        self._packet: dict[str, Any] = {}
        self._day_key: dict[str, str] = {}
        self.started = time.time() * 1000

    def begin(self) -> int:
        """Bind this browser, report a check of devices, and agree to recording and analysis.

        The number of the last question that is closed already; 0 when none is.
        """
        page = self._page.hex
        public = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        answer = self._call(
            "POST",
            "/begin",
            {
                "secret": self._secret,
                "browser_key": _b64(public),
                "page": page,
                "signature": _b64(sign_by_browser(self._key, begin_message(self._recording, page))),
            },
        )
        self._token, self._packet, self._day_key = answer["token"], answer["packet"], answer["day_key"]
        passed = dict.fromkeys(("browser", "camera", "microphone", "network"), "ok")
        self._call("POST", "/check", {**passed, "heard": True})
        language = self._packet["language"]
        texts = self._packet["consent_texts"][language]
        purposes = ["record"] if self._packet["policy"]["analysis"] == "off" else ["record", "analysis"]
        shown = {purpose: hashlib.sha256(texts[purpose].encode()).hexdigest() for purpose in purposes}
        agreed = dict.fromkeys(purposes, True)
        statement = self._signed("consent", language=language, choices=agreed, texts=shown, at=_now())
        self._call("POST", "/consent", statement)
        closed: int = answer["closed"]
        return closed

    def answer(self, ordinal: int) -> None:
        """Open a question and close it again; what is said meanwhile is in the clip."""
        self._call("POST", f"/questions/{ordinal}/open", {})
        self._call("POST", f"/questions/{ordinal}/close", {})

    def send(self, track: str, mime: str, pieces: list[bytes], length_ms: float) -> Epoch:
        """Seal `pieces` as one epoch that started with this browser's clock, and send all of it."""
        day_key = self._day_key
        opening, key = build_opening(
            vault_id=uuid.UUID(self._packet["vault"]),
            recording_id=self._recording,
            track=track,
            day_key_id=day_key["id"],
            recipients={day_key["id"]: base64.b64decode(day_key["public"])},
            browser_key=self._key,
            mime=mime,
            clock=Clock(self._page.bytes, 0.0, self.started),
        )
        epoch = Epoch(track, EpochWriter(opening, key), len(pieces))
        for piece in pieces:
            self._put(epoch, *epoch.writer.chunk(piece), flag=0)
        self._put(epoch, *epoch.writer.finish(length_ms, self.started + length_ms), flag=1)
        return epoch

    def send_events(self, events: list[dict[str, Any]], length_ms: float) -> Epoch:
        """Send events, each {"t": ms on the clock, "kind", …}, as one epoch of the events track."""
        timed = [{**event, "wall": self.started + event["t"]} for event in events]
        return self.send("events", EVENTS_MIME, [canonical(timed)], length_ms)

    def finish(self, *epochs: Epoch) -> None:
        """Sign the list of everything that was sent."""
        listed = [epoch.listed() for epoch in epochs]
        self._call("POST", "/finish", self._signed("finish", epochs=listed, at=_now()))

    def _signed(self, kind: str, **fields: Any) -> dict[str, str]:
        statement = {
            "type": kind,
            "version": 1,
            "recording": str(self._recording),
            "generation": self._packet["generation"],
            **fields,
        }
        text = canonical(statement)
        return {"statement": text.decode(), "signature": _b64(sign_by_browser(self._key, text))}

    def _put(self, epoch: Epoch, number: int, body: bytes, *, flag: int) -> None:
        digest = hashlib.sha256(body).digest()
        epoch.digests.append(digest)
        path = f"/tracks/{epoch.track}/epochs/{epoch.writer.opening.epoch.hex()}/chunks/{number}?flag={flag}"
        self._call("PUT", path, body, {"Content-Digest": f"sha-256=:{_b64(digest)}:"})

    def _call(
        self, method: str, path: str, body: dict[str, Any] | bytes, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        sent = body if isinstance(body, bytes) else canonical(body)
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        head = {"Content-Type": kind, "Authorization": f"Fupan {self._token}", **(headers or {})}
        connection: http.client.HTTPConnection
        if self._tls:
            connection = http.client.HTTPSConnection(self._host, self._port, timeout=30, context=self._tls)
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=30)
        try:
            connection.request(method, f"/intake/recordings/{self._recording}{path}", sent, head)
            response = connection.getresponse()
            raw = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise IntakeRefusedError(what=f"{path} ({error})") from error
        finally:
            connection.close()
        if response.status >= 300:
            raise IntakeRefusedError(what=f"{path} ({response.status} {raw[:200].decode(errors='replace')})")
        answer: dict[str, Any] = json.loads(raw or b"{}")
        return answer


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _now() -> str:
    return to_timestamp(dt.datetime.now(dt.UTC))
