"""The description of a vault: which vault it is, and the slots from which its key can be had. No I/O here.

The vault key is 32 random bytes. A slot wraps it under a slot key of 32 bytes that one unlock provider can
produce; each slot opens the same vault, as in LUKS. Check values (HMAC-SHA256) prove a slot key and the vault
key before anything is opened or wrapped with them, and the whole description carries a seal under the vault
key. docs/key_formats.md has the bytes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from storage.errors import IntegrityError
from storage.keys import Key, KeyRecord, canonical_json, parse_record, unwrap, wrap
from storage.shares import MAX_COUNT, MIN_NEEDED, ShareSet
from storage.suites import SUITE_1, from_newer, suite_of

VERSION = 2
KINDS = ("file", "shares", "token", "credential")
MAX_SLOTS = 16
MAX_DESCRIPTION_BYTES = 128 * 1024

_DIGEST_BYTES = 32
_MAX_TEXT = 255
_MAX_WRAPPED_BYTES = 1024
_HASHES = ("sha1", "sha256")


@dataclass(frozen=True)
class TokenKey:
    """Where a token's slot key comes from: `wrapped` is RSA-OAEP under the token's key of this label; `hash`
    is that of OAEP."""

    label: str
    serial: str
    key: str
    hash: str
    wrapped: bytes


@dataclass(frozen=True)
class Slot:
    """One way to the vault key. `check` proves the slot key; `record` wraps the vault key under it."""

    kind: str
    check: bytes
    record: KeyRecord
    shares: ShareSet | None = None
    token: TokenKey | None = None

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def created(self) -> str:
        return self.record.created

    def proves(self, slot_key: Key) -> bool:
        """Whether these 32 bytes are this slot's key."""
        made = _slot_check(uuid.UUID(self.record.parent), self.id, slot_key)
        return hmac.compare_digest(made, self.check)

    def open(self, slot_key: Key) -> bytes:
        """The vault key. Raises IntegrityError("key") when the slot key is not this slot's."""
        if not self.proves(slot_key):
            raise IntegrityError("key", f"this is not the key of slot {self.id}")
        return unwrap(slot_key, self.record)

    def rewrapped(self, slot_key: Key, vault_key: Key, suite: int) -> Slot:
        """This slot for another vault key."""
        if not self.proves(slot_key):
            raise IntegrityError("key", f"this is not the key of slot {self.id}")
        return replace(self, record=_wrapped(self.id, self.record.parent, slot_key, vault_key, suite))


@dataclass(frozen=True)
class Reshare:
    """A new set of shares that is not in force before each of them was read back."""

    slot: Slot
    replaces: str


@dataclass(frozen=True)
class Rekey:
    """A new vault key on its way: its check value, and every slot under it."""

    check: bytes
    slots: tuple[Slot, ...]


@dataclass(frozen=True)
class Rotate:
    """A new department-and-year key on its way: the record that will take the place of the present one."""

    record: KeyRecord


Pending = Reshare | Rekey | Rotate


@dataclass(frozen=True)
class Description:
    """`keyholder/vault.json`. `check` proves the vault key; `sets` is the newest share set's number; `seal`
    proves the rest of it. Version 1, which an embedded site made, has no slots: its key file held the vault
    key itself."""

    vault_id: uuid.UUID
    created: str
    check: bytes
    suite: int = SUITE_1.number
    sets: int = 0
    slots: tuple[Slot, ...] = ()
    pending: Pending | None = None
    seal: bytes = b""
    version: int = VERSION

    def slot(self, slot_id: str) -> Slot | None:
        return next((slot for slot in self.slots if slot.id == slot_id), None)

    def slot_of_kind(self, kind: str) -> Slot | None:
        """The first slot of a kind."""
        return next((slot for slot in self.slots if slot.kind == kind), None)

    def require(self, vault_key: Key) -> None:
        """Raises IntegrityError: "key" when this is not the vault's key, "vault" when anything else of the
        description was changed by somebody who does not have it."""
        if not hmac.compare_digest(vault_check(self.vault_id, vault_key), self.check):
            raise IntegrityError("key", "this is not the vault's key")
        if self.version > 1 and not hmac.compare_digest(self._sealed_by(vault_key), self.seal):
            raise IntegrityError("vault", "the description was changed")

    def sealed(self, vault_key: Key) -> Description:
        """The same in version 2, with its seal."""
        now = replace(self, version=VERSION)
        return replace(now, seal=now._sealed_by(vault_key))

    def encode(self) -> bytes:
        """The bytes of the file: canonical JSON."""
        return canonical_json(self._fields() | {"seal": self.seal.hex()})

    def _sealed_by(self, vault_key: Key) -> bytes:
        return hmac.digest(
            vault_key, b"fupan vault description v2" + canonical_json(self._fields()), "sha256"
        )

    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "version": VERSION,
            "suite": self.suite,
            "vault": str(self.vault_id),
            "created": self.created,
            "check": self.check.hex(),
            "sets": self.sets,
            "slots": [_slot_fields(slot) for slot in self.slots],
        }
        return fields | ({} if self.pending is None else {"pending": _pending_fields(self.pending)})


def vault_check(vault_id: uuid.UUID, vault_key: Key) -> bytes:
    """HMAC-SHA256 of the vault's id under its key: proves the key, tells nothing about it."""
    return hmac.digest(vault_key, b"fupan vault key check v1" + vault_id.bytes, hashlib.sha256)


def new_slot(
    kind: str,
    vault_id: uuid.UUID,
    slot_key: Key,
    vault_key: Key,
    suite: int,
    *,
    shares: ShareSet | None = None,
    token: TokenKey | None = None,
    slot_id: str = "",
) -> Slot:
    """A slot that gives the vault key for this slot key."""
    name = slot_id or new_slot_id()
    record = _wrapped(name, str(vault_id), slot_key, vault_key, suite)
    return Slot(kind, _slot_check(vault_id, name, slot_key), record, shares, token)


def new_slot_id() -> str:
    """Eight hexadecimal digits."""
    return secrets.token_hex(4)


def parse_description(data: bytes) -> Description:
    """Read `vault.json`; of version 2 only the one canonical spelling is accepted.

    Raises IntegrityError: "version" for one that a newer Fupan made, else "vault".
    """
    try:
        if len(data) > MAX_DESCRIPTION_BYTES:
            raise ValueError("too long")
        fields = json.loads(data)
        version = _whole(fields["version"], 1)
        if version > VERSION:
            raise from_newer(f"version {version} of the vault's description")
        if version == 1:
            return Description(
                _uuid(fields["vault"]), _text(fields["created"]), _digest(fields["check"]), version=1
            )
        found = _description(fields)
        if found.encode() != data:
            raise ValueError("not canonical")
    except IntegrityError as error:
        if error.kind == "version":
            raise
        raise IntegrityError("vault", str(error)) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError("vault", f"not a description of a vault: {error}") from None
    return found


def _description(fields: dict[str, Any]) -> Description:
    vault_id = _uuid(fields["vault"])
    pending = _pending(fields["pending"], vault_id) if "pending" in fields else None
    return Description(
        vault_id,
        _text(fields["created"]),
        _digest(fields["check"]),
        suite_of(_whole(fields["suite"], 1)).number,
        _whole(fields["sets"], 0),
        _slots(fields["slots"], vault_id),
        pending,
        _digest(fields["seal"]),
    )


def _slots(values: Any, vault_id: uuid.UUID) -> tuple[Slot, ...]:
    found = tuple(_slot(value, vault_id) for value in _list(values, MAX_SLOTS))
    if not found or len({slot.id for slot in found}) != len(found):
        raise ValueError("no slot, or one twice")
    return found


def _slot(fields: Any, vault_id: uuid.UUID) -> Slot:
    kind = _text(fields["kind"])
    if kind not in KINDS:
        raise from_newer(f"a slot of the kind {kind!r}")
    record = _record(fields["record"], "slot")
    shares = _shares(fields["shares"]) if kind == "shares" else None
    token = _token(fields["token"]) if kind == "token" else None
    if record.parent != str(vault_id):
        raise ValueError("a slot of another vault")
    return Slot(kind, _digest(fields["check"]), record, shares, token)


def _shares(fields: Any) -> ShareSet:
    issued = tuple(_digest(value) for value in _list(fields["issued"], MAX_COUNT))
    found = ShareSet(_whole(fields["set"], 1), _whole(fields["needed"], MIN_NEEDED), issued)
    if found.needed > found.count:
        raise ValueError("more shares needed than issued")
    return found


def _token(fields: Any) -> TokenKey:
    wrapped = base64.b64decode(_text(fields["wrapped"], 2 * _MAX_WRAPPED_BYTES), validate=True)
    label, serial, key, hash_name = (_text(fields[name]) for name in ("label", "serial", "key", "hash"))
    found = TokenKey(label, serial, key, hash_name, wrapped)
    if found.hash not in _HASHES or len(wrapped) > _MAX_WRAPPED_BYTES:
        raise ValueError("a token's slot")
    return found


def _pending(fields: Any, vault_id: uuid.UUID) -> Pending:
    match _text(fields["kind"]):
        case "reshare":
            slot = _slot(fields["slot"], vault_id)
            if slot.shares is None:
                raise ValueError("no set of shares")
            return Reshare(slot, _text(fields["replaces"]))
        case "rekey":
            return Rekey(_digest(fields["check"]), _slots(fields["slots"], vault_id))
        case "rotate":
            return Rotate(_record(fields["record"], "department-year"))
        case other:
            raise from_newer(f"the change {other!r} that was begun")


def _slot_fields(slot: Slot) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "kind": slot.kind,
        "check": slot.check.hex(),
        "record": json.loads(slot.record.encode()),
    }
    if slot.shares:
        issued = [digest.hex() for digest in slot.shares.issued]
        fields["shares"] = {"set": slot.shares.number, "needed": slot.shares.needed, "issued": issued}
    if slot.token:
        wrapped = base64.b64encode(slot.token.wrapped).decode()
        fields["token"] = {**vars(slot.token), "wrapped": wrapped}
    return fields


def _pending_fields(pending: Pending) -> dict[str, Any]:
    match pending:
        case Reshare():
            return {"kind": "reshare", "slot": _slot_fields(pending.slot), "replaces": pending.replaces}
        case Rekey():
            slots = [_slot_fields(slot) for slot in pending.slots]
            return {"kind": "rekey", "check": pending.check.hex(), "slots": slots}
        case Rotate():
            return {"kind": "rotate", "record": json.loads(pending.record.encode())}


def _wrapped(slot_id: str, parent: str, slot_key: Key, vault_key: Key, suite: int) -> KeyRecord:
    return parse_record(
        wrap(slot_key, kind="slot", key_id=slot_id, parent=parent, key=vault_key, suite=suite)
    )


def _slot_check(vault_id: uuid.UUID, slot_id: str, slot_key: Key) -> bytes:
    return hmac.digest(slot_key, b"fupan slot key check v1" + vault_id.bytes + slot_id.encode(), "sha256")


def _record(fields: Any, kind: str) -> KeyRecord:
    found = parse_record(canonical_json(fields))
    if found.kind != kind:
        raise ValueError(f"no record of a {kind} key")
    return found


def _typed(value: Any, fits: Callable[[Any], bool], what: str) -> Any:
    if not fits(value):
        raise ValueError(what)
    return value


def _whole(value: Any, low: int) -> int:
    found: int = _typed(value, lambda it: type(it) is int and low <= it < 2**32, "no whole number")
    return found


def _text(value: Any, limit: int = _MAX_TEXT) -> str:
    found: str = _typed(value, lambda it: isinstance(it, str) and len(it) <= limit, "no text")
    return found


def _list(value: Any, limit: int) -> list[Any]:
    found: list[Any] = _typed(value, lambda it: isinstance(it, list) and len(it) <= limit, "no list")
    return found


def _digest(value: Any) -> bytes:
    found = bytes.fromhex(_text(value))
    if len(found) != _DIGEST_BYTES:
        raise ValueError("no digest")
    return found


def _uuid(value: Any) -> uuid.UUID:
    return uuid.UUID(_text(value))
