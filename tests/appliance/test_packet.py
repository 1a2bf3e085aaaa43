"""Packets, tombstones and day keys prove genuine or are refused by name."""

from __future__ import annotations

import base64
import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from appliance import packet as packets
from appliance.packet import PacketError, canonical, open_envelope, parse_packet
from tests.support.intake_site import IntakeSite

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TRUSTED = {"service-1": KEY.public_key().public_bytes_raw()}


@pytest.fixture
def site(tmp_path: Path) -> IntakeSite:
    return IntakeSite(tmp_path)


def kind_of(raw: bytes, expected: str = "packet") -> str:
    with pytest.raises(PacketError) as caught:
        open_envelope(raw, TRUSTED, expected)
    return caught.value.kind


def test_a_packet_survives_its_signed_form(site: IntakeSite) -> None:
    packet, secret = site.packet()
    statement = open_envelope(site.sign(packet), site.folder.service_keys(), "packet")
    parsed = parse_packet(statement)
    assert parsed.statement() == packet.statement()
    assert parsed.secret_sha256 == packets.secret_digest(secret)
    assert parsed.closes - parsed.deadline == timedelta(hours=72)


def test_a_packet_tells_intake_no_competency(site: IntakeSite) -> None:
    statement = site.packet()[0].statement()
    assert all("competency" not in question for question in statement["questions"])


def test_an_envelope_is_canonical_and_its_text_is_what_was_signed() -> None:
    raw = packets.sign_envelope({"type": "packet", "version": 1, "title": "复盘"}, "service-1", KEY)
    envelope = json.loads(raw)
    assert raw == canonical(envelope)
    KEY.public_key().verify(base64.b64decode(envelope["signature"]), envelope["statement"].encode())
    assert open_envelope(raw, TRUSTED, "packet")["title"] == "复盘"


def test_what_is_not_genuine_is_refused_by_name() -> None:
    good = packets.sign_envelope({"type": "packet", "version": 1}, "service-1", KEY)
    envelope = json.loads(good)
    stranger = Ed25519PrivateKey.generate()
    assert kind_of(b"not json") == "envelope"
    assert kind_of(b"[" * 100_000) == "envelope"
    assert kind_of(b"x" * (packets.MAX_ENVELOPE_BYTES + 1)) == "size"
    assert kind_of(canonical({**envelope, "key": "other"})) == "unknown_key"
    assert kind_of(canonical({**envelope, "key": ["service-1"]})) == "unknown_key"
    altered = envelope["statement"].replace('"version":1', '"version":2')
    assert kind_of(canonical({**envelope, "statement": altered})) == "signature"
    assert kind_of(packets.sign_envelope({"type": "packet"}, "service-1", stranger)) == "signature"
    assert kind_of(good, "tombstone") == "type"
    assert kind_of(packets.sign_envelope({"type": "packet", "version": 2}, "service-1", KEY)) == "version"


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_without_a_crash(raw: bytes) -> None:
    assert kind_of(raw) in ("envelope", "unknown_key")


@pytest.mark.parametrize(
    "changes",
    [
        {"generation": 0},
        {"generation": "1"},
        {"questions": []},
        {"questions": [{"ordinal": 2, "text": "?", "prep_seconds": 0, "answer_seconds": 1, "hint": ""}]},
        {"questions": [{"ordinal": 1, "text": "?", "prep_seconds": 0, "answer_seconds": 0, "hint": ""}]},
        {"secret_sha256": "00"},
        {"deadline": "2026-11-21T00:00:00"},
        {"deadline": None},
        {"consent_texts": {"en": {}}},
        {"policy": {"screen": "sometimes"}},
        {"limits": {"bytes": -1}},
        {"day_key": {"id": "d", "public": "AAAA", "signature": ""}},
        {"vault": "not a uuid"},
        {"title": 7},
    ],
)
def test_a_packet_out_of_bounds_is_refused(site: IntakeSite, changes: dict[str, object]) -> None:
    with pytest.raises(PacketError):
        parse_packet({**site.packet()[0].statement(), **changes})


def test_a_link_carries_its_secret_in_the_fragment_only() -> None:
    secret, recording = packets.new_secret(), uuid.uuid4()
    address = packets.link("https://jobs.example.org/", recording, secret)
    assert address == f"https://jobs.example.org/i/{recording}#{secret}"
    assert len(base64.urlsafe_b64decode(secret + "==")) == 16


def test_times_are_utc_with_milliseconds() -> None:
    moment = datetime(2026, 11, 21, 6, 2, 3, 456789, tzinfo=UTC)
    assert packets.to_timestamp(moment) == "2026-11-21T06:02:03.456Z"
    assert packets.from_timestamp("2026-11-21T14:02:03.456+08:00") == moment.replace(microsecond=456000)


def test_a_day_key_statement_names_its_vault_and_day() -> None:
    statement = packets.day_key_statement(uuid.UUID(int=7), "2026-11-21", b"\x04" * 65, "2026-11-21")
    raw = packets.sign_envelope(statement, "service-1", KEY)
    assert open_envelope(raw, TRUSTED, "day_key") == statement
