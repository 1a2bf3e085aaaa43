"""A candidate's browser in Python: does with requests what the page does, for tests without a browser."""

from __future__ import annotations

import base64
import hashlib
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from appliance.packet import canonical
from appliance.stages.checkin import begin_message
from storage.vault import Clock, EpochWriter, build_opening, new_browser_key, sign_by_browser
from tests.support.web import Client

Call = Callable[..., tuple[int, dict[str, Any]]]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def content_digest(body: bytes) -> str:
    return f"sha-256=:{b64(hashlib.sha256(body).digest())}:"


@dataclass
class Epoch:
    """One sealed epoch and the digests of what was made of it."""

    track: str
    writer: EpochWriter
    bodies: list[tuple[int, int, bytes]] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.writer.opening.epoch.hex()

    def chunk(self, plaintext: bytes) -> tuple[int, int, bytes]:
        number, body = self.writer.chunk(plaintext)
        self.bodies.append((number, 0, body))
        return self.bodies[-1]

    def end(self, length_ms: float | None = None) -> tuple[int, int, bytes]:
        """The end record: now, or that long after the recorder's start."""
        clock = self.writer.opening.clock
        ended = (time.monotonic() * 1000, time.time() * 1000)
        if length_ms is not None:
            ended = (clock.monotonic_ms + length_ms, clock.wall_ms + length_ms)
        number, body = self.writer.finish(*ended)
        self.bodies.append((number, 1, body))
        return self.bodies[-1]

    def listed(self) -> dict[str, Any]:
        """This epoch as a finish statement lists it."""
        whole = hashlib.sha256(b"".join(hashlib.sha256(body).digest() for _, _, body in self.bodies))
        chunks = sum(flag == 0 for _, flag, _ in self.bodies)
        return {"track": self.track, "epoch": self.id, "chunks": chunks, "digest": whole.hexdigest()}


class Candidate:
    """One browser. `call(method, path, json=, data=, headers=)` gives (status, JSON)."""

    def __init__(self, call: Call, recording: uuid.UUID, secret: str) -> None:
        self.call, self.recording, self.secret = call, recording, secret
        self.key = new_browser_key()
        self.page = uuid.uuid4()
        self.token = ""
        self.packet: dict[str, Any] = {}
        self.day_key: dict[str, str] = {}

    @property
    def public_key(self) -> bytes:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return self.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def api(self, method: str, path: str, **more: Any) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Fupan {self.token}", **more.pop("headers", {})}
        return self.call(method, f"/intake/recordings/{self.recording}{path}", headers=headers, **more)

    def begin(self, **changes: Any) -> tuple[int, dict[str, Any]]:
        page = self.page.hex
        body = {
            "secret": self.secret,
            "browser_key": b64(self.public_key),
            "page": page,
            "signature": b64(sign_by_browser(self.key, begin_message(self.recording, page))),
            "wall_ms": time.time() * 1000,
            **changes,
        }
        status, answer = self.call("POST", f"/intake/recordings/{self.recording}/begin", json=body)
        if status == 200:
            self.token, self.packet, self.day_key = answer["token"], answer["packet"], answer["day_key"]
        return status, answer

    def signed(self, kind: str, **statement: Any) -> dict[str, str]:
        whole = {
            "type": kind,
            "version": 1,
            "recording": str(self.recording),
            "generation": self.packet["generation"],
            **statement,
        }
        text = canonical(whole).decode()
        return {"statement": text, "signature": b64(sign_by_browser(self.key, text.encode()))}

    def consent(self, analysis: bool = True, **changes: Any) -> tuple[int, dict[str, Any]]:
        return self.api("POST", "/consent", json=self.signed_consent(analysis, **changes))

    def signed_consent(self, analysis: bool = True, **changes: Any) -> dict[str, str]:
        texts = self.packet["consent_texts"]["en"]
        choices = {"record": True, "analysis": analysis}
        if self.packet["policy"]["analysis"] == "off":
            del choices["analysis"]
        statement = {
            "language": "en",
            "choices": choices,
            "texts": {purpose: hashlib.sha256(texts[purpose].encode()).hexdigest() for purpose in choices},
            "at": "2026-11-21T06:00:00.000Z",
            **changes,
        }
        return self.signed("consent", **statement)

    def withdraw(self) -> tuple[int, dict[str, Any]]:
        statement = {"purpose": "analysis", "at": "2026-11-21T07:00:00.000Z"}
        return self.api("POST", "/withdraw", json=self.signed("withdraw", **statement))

    def epoch(self, track: str = "camera", mime: str = "video/webm;codecs=vp8,opus", **changes: Any) -> Epoch:
        day_key = self.day_key
        values = {
            "vault_id": uuid.UUID(self.packet["vault"]),
            "recording_id": self.recording,
            "track": track,
            "day_key_id": day_key["id"],
            "recipients": {day_key["id"]: base64.b64decode(day_key["public"])},
            "browser_key": self.key,
            "mime": mime,
            "clock": Clock(self.page.bytes, time.monotonic() * 1000, time.time() * 1000),
            **changes,
        }
        opening, key = build_opening(**values)
        return Epoch(track, EpochWriter(opening, key))

    def put(self, epoch: Epoch, piece: tuple[int, int, bytes], **changes: Any) -> tuple[int, dict[str, Any]]:
        number, flag, body = piece
        headers = {"Content-Digest": changes.get("digest", content_digest(body))}
        path = f"/tracks/{epoch.track}/epochs/{epoch.id}/chunks/{number}?flag={flag}"
        return self.api("PUT", changes.get("path", path), data=body, headers=headers)

    def finish(self, *epochs: Epoch) -> tuple[int, dict[str, Any]]:
        listed = [epoch.listed() for epoch in epochs]
        return self.api(
            "POST", "/finish", json=self.signed("finish", epochs=listed, at="2026-11-21T06:30:00.000Z")
        )


def flask_call(client: Any) -> Call:
    """`call` over a Flask test client."""

    def call(method: str, path: str, **more: Any) -> tuple[int, dict[str, Any]]:
        response = client.open(path, method=method, **more)
        return response.status_code, json.loads(response.get_data()) if response.is_json else {}

    return call


def http_call(url: str) -> Call:
    """`call` over HTTP to an intake that runs elsewhere."""
    client = Client(url)

    def call(method: str, path: str, **more: Any) -> tuple[int, dict[str, Any]]:
        answer = client.ask(method, path, **more)
        return answer.status, answer.json if answer.is_json else {}

    return call
