"""Keys as values: made, wrapped, unwrapped, derived. No input or output happens here.

A key record is canonical JSON; its wrapped key is encrypted under the parent key, and every clear field of
the record is bound as associated data. Suite 1 makes records of version 1, which open for ever; later suites
make version 2, which states its suite. `storage.keystore` keeps records as files.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from storage.errors import IntegrityError
from storage.segment_format import KEY_BYTES, SealedHeader, parse_header
from storage.suites import NONCE_BYTES, SUITE_1, Aead, from_newer, suite_of

NEWEST_VERSION = 2
# `slot` records lie inside the vault's description, never as files.
KINDS = frozenset({"day", "department-year", "recording", "person", "service", "slot"})
MAX_RECORD_BYTES = 4096
Key = bytes | bytearray
_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


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
    suite: int = SUITE_1.number

    @property
    def bound(self) -> bytes:
        """The associated data: every clear field."""
        return canonical_json(self._clear_fields())

    @property
    def digest(self) -> bytes:
        """SHA-256 of the record's file: what `KeyStore.replace` compares."""
        return hashlib.sha256(self.encode()).digest()

    def encode(self) -> bytes:
        """The bytes of the record's file."""
        secret = {"nonce": _to_text(self.nonce), "wrapped": _to_text(self.wrapped)}
        return canonical_json(self._clear_fields() | secret)

    def _clear_fields(self) -> dict[str, object]:
        fields: dict[str, object] = {"kind": self.kind, "id": self.id, "parent": self.parent}
        fields |= {"created": self.created, "version": 1}
        if self.public is not None:
            fields["public"] = _to_text(self.public)
        if self.suite != SUITE_1.number:
            fields |= {"version": 2, "suite": self.suite}
        return fields


def canonical_json(value: object) -> bytes:
    """The one spelling of a JSON value: sorted keys, no spaces, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def new_key() -> bytes:
    """32 random bytes."""
    return secrets.token_bytes(KEY_BYTES)


def wrap(
    parent_key: Key,
    *,
    kind: str,
    key_id: str,
    parent: str,
    key: Key,
    created: datetime | None = None,
    public: bytes | None = None,
    suite: int = SUITE_1.number,
) -> bytes:
    """A key record that holds `key` under `parent_key`; `public` is the public half of a pair."""
    check_name(kind, key_id)
    moment = (created or datetime.now(UTC)).astimezone(UTC)
    at = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    record = KeyRecord(kind, key_id, parent, at, public, secrets.token_bytes(NONCE_BYTES), b"", suite)
    with _wrapping(parent_key, suite) as aead:
        wrapped = aead.encrypt(record.nonce, key, record.bound)
    return replace(record, wrapped=wrapped).encode()


def unwrap(parent_key: Key, record: bytes | KeyRecord) -> bytes:
    """The key inside a record. Raises IntegrityError("key") when it does not open under this parent."""
    if isinstance(record, bytes):
        record = parse_record(record)
    try:
        with _wrapping(parent_key, record.suite) as aead:
            return aead.decrypt(record.nonce, record.wrapped, record.bound)
    except InvalidTag:
        raise IntegrityError("key", f"{record.kind} {record.id} does not open under its parent") from None


@contextlib.contextmanager
def _wrapping(parent_key: Key, number: int) -> Iterator[Aead]:
    suite = suite_of(number)
    if suite is SUITE_1:
        yield Aead(suite, parent_key)  # as version 1 has always done
        return
    derived = bytearray(suite.key_bytes)
    try:
        suite.derive_into(derived, parent_key, b"", b"fupan wrapping key v2" + bytes((number,)))
        yield Aead(suite, derived)
    finally:
        derived[:] = bytes(len(derived))  # a locked vault leaves nothing that opens its records


def rewrap(parent_key: Key, record: KeyRecord, new_parent_key: Key, suite: int) -> bytes:
    """The same key under another parent key; its name, moment and public half stay. Raises IntegrityError."""
    return wrap(
        new_parent_key,
        kind=record.kind,
        key_id=record.id,
        parent=record.parent,
        key=unwrap(parent_key, record),
        created=datetime.fromisoformat(record.created),
        public=record.public,
        suite=suite,
    )


def parse_record(data: bytes) -> KeyRecord:
    """Read a key record; only the one canonical spelling is accepted.

    Raises IntegrityError: "version" for a version or suite that is not known here, else "key".
    """
    try:
        if len(data) > MAX_RECORD_BYTES:
            raise ValueError("too long")
        fields = json.loads(data)
        if not isinstance(fields, dict):
            raise TypeError("no object")
        suite = _stated_suite(fields)
        texts = [fields[name] for name in ("kind", "id", "parent", "created", "nonce", "wrapped")]
        kind, key_id, parent, created, nonce, wrapped = map(_text, texts)
        public = _to_bytes(_text(fields["public"])) if "public" in fields else None
        check_name(kind, key_id)
        record = KeyRecord(kind, key_id, parent, created, public, _to_bytes(nonce), _to_bytes(wrapped), suite)
        if len(record.nonce) != NONCE_BYTES or record.encode() != data:
            raise ValueError("not canonical")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError("key", f"not a key record: {error}") from None
    return record


def _stated_suite(fields: dict[str, object]) -> int:
    version, suite = fields.get("version"), fields.get("suite", SUITE_1.number)
    if type(version) is not int or type(suite) is not int or version < 1 or suite < 1:
        raise ValueError("no version or suite")
    if version > NEWEST_VERSION:
        raise from_newer(f"version {version} of key records")
    return suite_of(suite).number


def check_name(kind: str, key_id: str) -> None:
    """Kinds are known; ids are safe as file names. Raises IntegrityError("key")."""
    if kind not in KINDS or not _KEY_ID.fullmatch(key_id):
        raise IntegrityError("key", "kind or id is not allowed")


def is_key_id(kind: str, key_id: str) -> bool:
    """Whether a key of this kind may be called so: a recording's or person's by their id, a day's by its
    date. Of the others any safe name."""
    if kind == "day":
        with contextlib.suppress(ValueError):
            return date.fromisoformat(key_id).isoformat() == key_id
        return False
    return (_UUID if kind in ("recording", "person") else _KEY_ID).fullmatch(key_id) is not None


def derive_file_key(owner_key: bytes, header: SealedHeader | bytes) -> bytes:
    """The key of one sealed file, from its owner's key (32 bytes) and its header: 32 bytes, 16 in suite 2."""
    if isinstance(header, bytes):
        header = parse_header(header)
    return suite_of(header.suite).derive(owner_key, header.salt, header.key_info)


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
