"""Keys as values: made, wrapped, unwrapped, derived. No input or output happens here.

A key record is canonical JSON; its wrapped key is AES-256-GCM under the parent key, and every clear field of
the record is bound as associated data. `storage.keystore` keeps records as files.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from storage.errors import IntegrityError
from storage.segment_format import KEY_BYTES, SealedHeader, parse_header

VERSION = 1
KINDS = frozenset({"day", "department-year", "recording", "person", "service"})
MAX_RECORD_BYTES = 4096
_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@dataclass(frozen=True)
class KeyRecord:
    """One wrapped key with its name. `parent` is the id of the key that wraps it."""

    kind: str
    id: str
    parent: str
    created: str
    public: bytes | None
    nonce: bytes
    wrapped: bytes

    @property
    def bound(self) -> bytes:
        """The associated data: every clear field."""
        return canonical_json(_clear_fields(self.kind, self.id, self.parent, self.created, self.public))

    def encode(self) -> bytes:
        """The bytes of the record's file."""
        fields = _clear_fields(self.kind, self.id, self.parent, self.created, self.public)
        return canonical_json(fields | {"nonce": _to_text(self.nonce), "wrapped": _to_text(self.wrapped)})


def canonical_json(value: object) -> bytes:
    """The one spelling of a JSON value: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def new_key() -> bytes:
    """32 random bytes."""
    return secrets.token_bytes(KEY_BYTES)


def wrap(
    parent_key: bytes,
    *,
    kind: str,
    key_id: str,
    parent: str,
    key: bytes,
    created: datetime | None = None,
    public: bytes | None = None,
) -> bytes:
    """A key record that holds `key` under `parent_key`; `public` is the public half of a pair."""
    check_name(kind, key_id)
    moment = (created or datetime.now(UTC)).astimezone(UTC)
    at = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    nonce = secrets.token_bytes(12)
    bound = canonical_json(_clear_fields(kind, key_id, parent, at, public))
    wrapped = AESGCM(parent_key).encrypt(nonce, key, bound)
    return KeyRecord(kind, key_id, parent, at, public, nonce, wrapped).encode()


def unwrap(parent_key: bytes, record: bytes | KeyRecord) -> bytes:
    """The key inside a record. Raises IntegrityError("key") when it does not open under this parent."""
    if isinstance(record, bytes):
        record = parse_record(record)
    try:
        return AESGCM(parent_key).decrypt(record.nonce, record.wrapped, record.bound)
    except InvalidTag:
        raise IntegrityError("key", f"{record.kind} {record.id} does not open under its parent") from None


def parse_record(data: bytes) -> KeyRecord:
    """Read a key record; only the one canonical spelling is accepted."""
    try:
        if len(data) > MAX_RECORD_BYTES:
            raise ValueError("too long")
        fields = json.loads(data)
        if not isinstance(fields, dict) or fields.get("version") != VERSION:
            raise ValueError("unknown version")
        texts = [fields[name] for name in ("kind", "id", "parent", "created", "nonce", "wrapped")]
        kind, key_id, parent, created, nonce, wrapped = map(_text, texts)
        public = _to_bytes(_text(fields["public"])) if "public" in fields else None
        check_name(kind, key_id)
        record = KeyRecord(kind, key_id, parent, created, public, _to_bytes(nonce), _to_bytes(wrapped))
        if len(record.nonce) != 12 or record.encode() != data:
            raise ValueError("not canonical")
    except (ValueError, KeyError, TypeError, RecursionError, IntegrityError) as error:
        raise IntegrityError("key", f"not a key record: {error}") from None
    return record


def check_name(kind: str, key_id: str) -> None:
    """Kinds are known; ids are safe as file names. Raises IntegrityError("key")."""
    if kind not in KINDS or not _KEY_ID.fullmatch(key_id):
        raise IntegrityError("key", "kind or id is not allowed")


def derive_file_key(recording_key: bytes, header: SealedHeader | bytes) -> bytes:
    """The key of one sealed file, from its owner's key and its header."""
    if isinstance(header, bytes):
        header = parse_header(header)
    return HKDF(hashes.SHA256(), KEY_BYTES, header.salt, header.key_info).derive(recording_key)


def new_day_key() -> tuple[bytes, bytes]:
    """A P-256 pair for HPKE: (private scalar, 32 bytes; public point, 65 bytes uncompressed)."""
    private = ec.generate_private_key(ec.SECP256R1())
    return private.private_numbers().private_value.to_bytes(32, "big"), public_bytes(private)


def public_bytes(private: ec.EllipticCurvePrivateKey) -> bytes:
    """The public point of a P-256 key: 65 bytes, uncompressed."""
    return private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def load_day_private(private: bytes) -> ec.EllipticCurvePrivateKey:
    """The P-256 key of a 32-byte scalar. Raises IntegrityError("key")."""
    try:
        return ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP256R1())
    except ValueError:
        raise IntegrityError("key", "not a P-256 scalar") from None


def _clear_fields(
    kind: str, key_id: str, parent: str, created: str, public: bytes | None
) -> dict[str, object]:
    fields: dict[str, object] = {
        "version": VERSION,
        "kind": kind,
        "id": key_id,
        "parent": parent,
        "created": created,
    }
    return fields | ({} if public is None else {"public": _to_text(public)})


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a field is not text")
    return value


def _to_text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _to_bytes(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
