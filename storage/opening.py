"""The opening of an epoch and its chunks, version 1: parse, build, verify, wrap, encrypt. No I/O here.

`build_opening`, `encrypt_chunk` and `EpochWriter` do in Python what the candidate's browser does in
JavaScript; the demo, the tests and the load generator use them.
"""

from __future__ import annotations

import hashlib
import math
import re
import secrets
import struct
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from storage.errors import BadOpening, IntegrityError
from storage.keys import canonical_json, load_day_private, new_key, public_bytes
from storage.segment_format import KEY_BYTES, length_prefixed
from storage.suites import SUITE_1, TAG_BYTES, Aead

MAGIC = b"FPO1"
# Browsers have no other, whatever the suite of the vault.
SUITE = SUITE_1
MAX_OPENING_BYTES = 1024
MAX_RECIPIENTS = 8
EVENTS_MIME = "application/x-fupan-events+json"
DATA, END = 0, 1

_POINT_BYTES = 65
_WRAPPED_BYTES = KEY_BYTES + TAG_BYTES
_SIGNATURE_BYTES = 64
_TRACK = re.compile(r"[a-z0-9_-]{1,32}")
_HPKE = hpke.Suite(hpke.KEM.P256, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


@dataclass(frozen=True)
class Clock:
    """When the recorder started: page-load id (16 bytes), performance.now() and wall time, both in ms."""

    page_load: bytes
    monotonic_ms: float
    wall_ms: float

    def encode(self) -> bytes:
        """32 bytes."""
        return self.page_load + struct.pack(">dd", self.monotonic_ms, self.wall_ms)


@dataclass(frozen=True)
class Recipient:
    """One holder of a day key and the epoch key wrapped to it."""

    id: str
    enc: bytes
    wrapped: bytes


@dataclass(frozen=True)
class Opening:
    """An opening as read. `raw` is its bytes with signature; `info` the part that HPKE binds."""

    vault_id: uuid.UUID
    recording_id: uuid.UUID
    track: str
    epoch: bytes
    day_key_id: str
    browser_key: bytes
    mime: str
    clock: Clock
    commitment: bytes
    recipients: tuple[Recipient, ...]
    signature: bytes
    raw: bytes = field(repr=False)
    info: bytes = field(repr=False)

    @property
    def end(self) -> int:
        """Where the opening ends in the body that it was read from, in bytes."""
        return len(self.raw)

    @property
    def signed(self) -> bytes:
        """What the signature covers."""
        return self.raw[:-_SIGNATURE_BYTES]

    @cached_property
    def sha256(self) -> bytes:
        """What every chunk of the epoch is bound to."""
        return hashlib.sha256(self.raw).digest()


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, length: int) -> bytes:
        piece = self.data[self.at : self.at + length]
        if len(piece) != length:
            raise BadOpening("length", "cut short or over 1024 bytes")
        self.at += length
        return piece

    def field(self, low: int, high: int) -> bytes:
        length = int.from_bytes(self.take(2), "big")
        if not low <= length <= high:
            raise BadOpening("field", f"a field of {length} bytes at {self.at}")
        return self.take(length)

    def text(self, high: int) -> str:
        try:
            text = self.field(1, high).decode()
        except UnicodeDecodeError:
            raise BadOpening("field", "not UTF-8") from None
        if not text.isprintable():
            raise BadOpening("field", "control characters")
        return text


def parse_opening(body: bytes | memoryview) -> Opening:
    """Read the opening at the start of a wire body. Its form is checked, its signature is not."""
    at = _Cursor(bytes(body[:MAX_OPENING_BYTES]))
    if at.take(4) != MAGIC:
        raise BadOpening("magic")
    if at.field(1, 1)[0] != SUITE.number:
        raise BadOpening("suite")
    vault_id, recording_id = uuid.UUID(bytes=at.field(16, 16)), uuid.UUID(bytes=at.field(16, 16))
    track = at.text(32)
    if not _TRACK.fullmatch(track):
        raise BadOpening("field", "track name")
    epoch, day_key_id = at.field(16, 16), at.text(32)
    browser_key, mime = at.field(_POINT_BYTES, _POINT_BYTES), at.text(128)
    clock, commitment = at.field(32, 32), at.field(32, 32)
    info = at.data[: at.at]
    count = at.take(1)[0]
    if not 1 <= count <= MAX_RECIPIENTS:
        raise BadOpening("recipient", f"{count} recipients")
    recipients = tuple(
        Recipient(at.text(32), at.field(_POINT_BYTES, _POINT_BYTES), at.field(_WRAPPED_BYTES, _WRAPPED_BYTES))
        for _ in range(count)
    )
    signature = at.take(_SIGNATURE_BYTES)
    monotonic_ms, wall_ms = struct.unpack(">dd", clock[16:])
    if not (math.isfinite(monotonic_ms) and math.isfinite(wall_ms)):
        raise BadOpening("field", "clock")
    return Opening(
        vault_id,
        recording_id,
        track,
        epoch,
        day_key_id,
        browser_key,
        mime,
        Clock(clock[:16], monotonic_ms, wall_ms),
        commitment,
        recipients,
        signature,
        raw=at.data[: at.at],
        info=info,
    )


def verify_opening(opening: Opening) -> None:
    """Check the signature by the browser key that the opening names. Raises BadOpening("signature").

    Whether that key is the one bound to the recording is for the caller to compare.
    """
    verify_by_browser(opening.browser_key, opening.signature, opening.signed, BadOpening("signature"))


def verify_by_browser(browser_key: bytes, signature: bytes, message: bytes, failure: Exception) -> None:
    """Check an ECDSA P-256 SHA-256 signature (r‖s, 64 bytes) by a 65-byte key; raises `failure`."""
    try:
        if len(signature) != _SIGNATURE_BYTES:
            raise failure
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), browser_key)
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        public.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    except (ValueError, InvalidSignature):
        raise failure from None


def sign_by_browser(browser_key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """An ECDSA P-256 SHA-256 signature as WebCrypto makes it: r‖s, 64 bytes."""
    r, s = decode_dss_signature(browser_key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def wire_digest(body: bytes | memoryview) -> bytes:
    """SHA-256 of a wire body (opening ‖ ciphertext): 32 bytes."""
    return hashlib.sha256(body).digest()


def new_browser_key() -> ec.EllipticCurvePrivateKey:
    """The signing key that a candidate's browser makes for itself."""
    return ec.generate_private_key(ec.SECP256R1())


def commitment_to(epoch_key: bytes) -> bytes:
    """SHA-256 that ties an opening to its epoch key: 32 bytes."""
    return hashlib.sha256(b"fupan epoch key v1" + epoch_key).digest()


def build_opening(
    *,
    vault_id: uuid.UUID,
    recording_id: uuid.UUID,
    track: str,
    day_key_id: str,
    recipients: Mapping[str, bytes],
    browser_key: ec.EllipticCurvePrivateKey,
    mime: str,
    clock: Clock,
    epoch: bytes | None = None,
    epoch_key: bytes | None = None,
) -> tuple[Opening, bytes]:
    """A signed opening and its epoch key (32 bytes). `recipients`: day-key id → public point (65 bytes)."""
    epoch_key = new_key() if epoch_key is None else epoch_key
    fields = (
        bytes((SUITE.number,)),
        vault_id.bytes,
        recording_id.bytes,
        track.encode(),
        secrets.token_bytes(16) if epoch is None else epoch,
        day_key_id.encode(),
        public_bytes(browser_key),
        mime.encode(),
        clock.encode(),
        commitment_to(epoch_key),
    )
    info = MAGIC + b"".join(map(length_prefixed, fields))
    signed = info + bytes((len(recipients),))
    for name, public in recipients.items():
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public)
        sealed = _HPKE.encrypt(epoch_key, point, info=info)
        for part in (name.encode(), sealed[:_POINT_BYTES], sealed[_POINT_BYTES:]):
            signed += length_prefixed(part)
    raw = signed + sign_by_browser(browser_key, signed)
    opening = parse_opening(raw)
    if opening.end != len(raw):
        raise BadOpening("length", "over 1024 bytes")
    return opening, epoch_key


def open_epoch_key(day_private: bytes, opening: Opening | bytes, recipient: str | None = None) -> bytes:
    """Unwrap the epoch key (32 bytes) with a day key's private scalar (32 bytes); the commitment is checked.

    `recipient` names the day key; without it, the one the opening names. Raises BadOpening.
    """
    if isinstance(opening, bytes):
        opening = parse_opening(opening)
    name = opening.day_key_id if recipient is None else recipient
    mine = [r for r in opening.recipients if r.id == name]
    if len(mine) != 1:
        raise BadOpening("recipient", f"no single recipient {name}")
    try:
        key = _HPKE.decrypt(mine[0].enc + mine[0].wrapped, load_day_private(day_private), info=opening.info)
    except (InvalidTag, ValueError):
        raise BadOpening("unwrap") from None
    if not secrets.compare_digest(commitment_to(key), opening.commitment):
        raise BadOpening("commitment")
    return key


def chunk_nonce(n: int, flag: int) -> bytes:
    """Seven zero bytes, the number as uint32, the flag: 12 bytes."""
    return struct.pack(">7xIB", n, flag)


def _chunk_bound_to(opening_sha256: bytes, n: int, flag: int) -> bytes:
    return opening_sha256 + struct.pack(">IB", n, flag)


def encrypt_chunk(epoch_key: bytes, opening: Opening, n: int, flag: int, plaintext: bytes) -> bytes:
    """The ciphertext of chunk `n` with its tag. Call it once for each n."""
    bound_to = _chunk_bound_to(opening.sha256, n, flag)
    return Aead(SUITE, epoch_key).encrypt(chunk_nonce(n, flag), plaintext, bound_to)


class ChunkOpener:
    """Opens the chunks of one epoch."""

    def __init__(self, epoch_key: bytes, opening_sha256: bytes) -> None:
        self._aead = Aead(SUITE, epoch_key)
        self._opening_sha256 = opening_sha256

    def decrypt(self, n: int, flag: int, ciphertext: bytes | memoryview) -> bytes:
        """The plaintext of chunk `n`. Raises IntegrityError("record")."""
        try:
            bound_to = _chunk_bound_to(self._opening_sha256, n, flag)
            return self._aead.decrypt(chunk_nonce(n, flag), ciphertext, bound_to)
        except InvalidTag:
            raise IntegrityError("record", f"chunk {n} does not open") from None


class EpochWriter:
    """Seals one epoch as a browser does: each number is taken once and encrypted once."""

    def __init__(self, opening: Opening, epoch_key: bytes) -> None:
        self.opening = opening
        self._key = epoch_key
        self._next = 0
        self._ended = False

    def chunk(self, plaintext: bytes) -> tuple[int, bytes]:
        """The next data chunk: its number and its wire body."""
        if self._ended:
            raise ValueError("the epoch has ended")
        n, self._next = self._next, self._next + 1
        return n, self.opening.raw + encrypt_chunk(self._key, self.opening, n, DATA, plaintext)

    def finish(self, clock_ms: float, wall_ms: float) -> tuple[int, bytes]:
        """The end record: its number (the count of chunks) and its wire body. Times in ms."""
        if self._ended:
            raise ValueError("the epoch has ended")
        self._ended = True
        end = canonical_json({"chunks": self._next, "clock": clock_ms, "wall": wall_ms})
        return self._next, self.opening.raw + encrypt_chunk(self._key, self.opening, self._next, END, end)
