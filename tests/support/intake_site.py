"""An intake of its own for a test: a folder, a trusted service key, a day key, packets at will."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance import texts
from appliance.config import Database, Settings
from appliance.day_list import day_list_statement
from appliance.domain import Question
from appliance.intake_folder import IntakeFolder
from appliance.packet import (
    DayKey,
    Packet,
    new_secret,
    secret_digest,
    sign_envelope,
    tombstone_statement,
)

QUESTIONS = (
    Question(1, "Please introduce yourself and a project you are proud of.", 3, 60, "Face the camera."),
    Question(2, "Tell us how you solved a difficult problem.", 2, 60),
)


class IntakeSite:
    """What the inside would have set up, with the keys at hand."""

    def __init__(self, data: Path, **settings: Any) -> None:
        values: dict[str, Any] = {"disk_floor_bytes": 0, "language": "en", **settings}
        self.settings = Settings(
            data=data,
            staff_url="http://127.0.0.1",
            intake_url="http://127.0.0.1",
            database=Database(host="/nonexistent"),
            **values,
        )
        self.folder = IntakeFolder(self.settings.intake_folder)
        self.vault = uuid.uuid4()
        self.service_key = Ed25519PrivateKey.generate()
        self.folder.install_service_keys({"service-1": self.service_key.public_key().public_bytes_raw()})
        self.day_private = ec.generate_private_key(ec.SECP256R1())
        self.day_key = DayKey("2026-11-21", _point(self.day_private))

    @property
    def day_scalar(self) -> bytes:
        """The day key's private half as the vault keeps it."""
        return self.day_private.private_numbers().private_value.to_bytes(32)

    def packet(self, **changes: Any) -> tuple[Packet, str]:
        """A packet for a fresh attempt and its link's secret; not yet in the folder."""
        secret = new_secret()
        now = datetime.now(UTC).replace(microsecond=0)
        packet = Packet(
            vault=self.vault,
            recording=uuid.uuid4(),
            generation=1,
            site="Fupan Test Company",
            title="Backend engineer",
            candidate_name="Li Ming",
            language="en",
            questions=QUESTIONS,
            deadline=now + timedelta(days=3),
            issued=now,
            secret_sha256=secret_digest(secret),
            day_key=self.day_key,
            consent_texts=texts.consent_texts(),
            guide=texts.guide("en"),
            contact="hr@example.org",
            kept_days=180,
        )
        return replace(packet, **changes), secret

    def sign(self, packet: Packet) -> bytes:
        return sign_envelope(packet.statement(), "service-1", self.service_key)

    def invite(self, **changes: Any) -> tuple[Packet, str]:
        """A fresh attempt with its packet in the folder."""
        packet, secret = self.packet(**changes)
        self.folder.put_packet(self.sign(packet))
        return packet, secret

    def list_days(self, *days: str) -> dict[str, DayKey]:
        """Put a signed list with a fresh key for each of these days before intake; the keys by day."""
        keys = {day: DayKey(day, _point(ec.generate_private_key(ec.SECP256R1()))) for day in sorted(days)}
        statement = day_list_statement(self.vault, keys.values())
        self.folder.put_day_keys(sign_envelope(statement, "service-1", self.service_key))
        return keys

    def reinvite(self, packet: Packet) -> tuple[Packet, str]:
        """A fresh link for the same attempt: the next generation."""
        secret = new_secret()
        newer = replace(packet, generation=packet.generation + 1, secret_sha256=secret_digest(secret))
        self.folder.put_packet(self.sign(newer))
        return newer, secret

    def seal(self, recording: uuid.UUID, reason: str = "sealed") -> None:
        """Put the tombstone that sealing puts, or another."""
        statement = tombstone_statement(self.vault, recording, reason)
        self.folder.put_tombstone(sign_envelope(statement, "service-1", self.service_key))


def _point(private: ec.EllipticCurvePrivateKey) -> bytes:
    return private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
