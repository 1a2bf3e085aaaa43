"""The erase ledger as bytes: one signed, chained entry a line. No input or output happens here.

An entry is canonical JSON on a line of its own: `at`, `body`, `key`, `kind`, `prev`, `seq`, `signature`,
`vault`, `version`. The signature (Ed25519, by the ledger key) is over DOMAIN and the entry without it; `prev`
is the SHA-256 of the line before, so no entry can be left out, moved or altered. docs/key_formats.md has the
bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from storage.errors import IntegrityError, LedgerError
from storage.keys import canonical_json, check_name

VERSION = 1
KEY_ID = "ledger-1"
DOMAIN = b"fupan erase ledger v1\n"
START = "00" * 32
MAX_ENTRY_BYTES = 64 * 1024
MAX_LEDGER_BYTES = 256 << 20  # some 400,000 erasures
MAX_RECORDINGS = 1000
ERASE, DAY_KEY = "erase", "day-key"
_FIELDS = frozenset({"at", "body", "key", "kind", "prev", "seq", "signature", "vault", "version"})
_HEAD = re.compile(r"(0|[1-9][0-9]{0,15}):([0-9a-f]{64})")
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError, IntegrityError)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@dataclass(frozen=True)
class Head:
    """How far a ledger goes: `count` entries, and the hex SHA-256 of the last one's line."""

    count: int
    head: str

    @classmethod
    def parse(cls, text: str) -> Head:
        """From `count:head`, as it is printed. Raises LedgerError("head")."""
        found = _HEAD.fullmatch(text)
        if found is None or (found[1] == "0") != (found[2] == START):
            raise LedgerError("head", "write it as on the page: the number of entries, a colon, 64 digits")
        return cls(int(found[1]), found[2])

    def __str__(self) -> str:
        return f"{self.count}:{self.head}"


EMPTY = Head(0, START)


@dataclass(frozen=True)
class Known:
    """A head that something outside the ledger has seen; `source` tells a person what that is."""

    source: str
    head: Head


@dataclass(frozen=True)
class Entry:
    """One proven entry. `body` is that of its kind; `line` its bytes without the newline."""

    seq: int
    at: str
    kind: str
    body: Mapping[str, Any]
    line: bytes

    @property
    def moment(self) -> datetime:
        """When it was written (UTC)."""
        return datetime.fromisoformat(self.at)

    @property
    def destroyed(self) -> list[tuple[str, str]]:
        """Kind and id of each key record that must not exist once this entry does."""
        if self.kind == DAY_KEY:
            return [("day", self.body["day"])]
        person = [("person", self.body["person"])] if self.body["person"] else []
        return person + [("recording", each) for each in self.body["recordings"]]


class Chain:
    """Proven entries in order, to which further ones are added.

    `torn` counts the bytes of a last line without an end, which was never acknowledged; `size` those of the
    lines.
    """

    def __init__(self, entries: Iterable[Entry] = (), torn: int = 0) -> None:
        self.entries: list[Entry] = []
        self.heads = [START]  # after each number of entries, from none on
        self.destroyed: set[tuple[str, str]] = set()
        self.size, self.torn = 0, torn
        self._by_mark: dict[str, Entry] = {}
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> None:
        """One more entry, which follows the last one."""
        self.entries.append(entry)
        self.heads.append(hashlib.sha256(entry.line).hexdigest())
        self.destroyed.update(entry.destroyed)
        self.size += len(entry.line) + 1
        if "mark" in entry.body:
            self._by_mark[entry.body["mark"]] = entry

    @property
    def head(self) -> Head:
        return Head(len(self.entries), self.heads[-1])

    def of_mark(self, mark: uuid.UUID) -> Entry | None:
        """The newest entry that a mark led to."""
        return self._by_mark.get(str(mark))

    def lines_after(self, count: int) -> bytes:
        """The lines behind the first `count`."""
        return b"".join(entry.line + b"\n" for entry in self.entries[count:])

    def require(self, known: Iterable[Known]) -> None:
        """Raises LedgerError: `short` when something has seen more entries than there are, naming those that
        are missing; `forked` when it has seen other ones."""
        for each in sorted(known, key=lambda each: each.head.count, reverse=True):
            count, head = each.head.count, each.head.head
            if count > len(self.entries):
                first = len(self.entries) + 1
                raise LedgerError(
                    "short", f"entries {first} to {count} are missing, which {each.source} knows"
                )
            if self.heads[count] != head:
                raise LedgerError("forked", f"{each.source} knows another entry {count}")


def erase_body(
    mark: uuid.UUID,
    event: uuid.UUID,
    person: uuid.UUID | None,
    recordings: Iterable[uuid.UUID],
    kept: Iterable[uuid.UUID],
) -> dict[str, Any]:
    """What an erasure's entry says: by which mark and audit event, whose person key (None: nobody's), which
    recordings, and which were kept for a legal hold."""
    return {
        "mark": str(mark),
        "event": str(event),
        "person": None if person is None else str(person),
        "recordings": sorted(map(str, recordings)),
        "kept": sorted(map(str, kept)),
    }


def make_entry(
    chain: Chain,
    vault_id: uuid.UUID,
    kind: str,
    body: Mapping[str, Any],
    sign: Callable[[bytes], bytes],
    at: datetime | None = None,
) -> Entry:
    """The entry that follows a chain. Raises LedgerError("line") for a body that is none."""
    moment = (at or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="milliseconds")
    fields: dict[str, Any] = {
        "version": VERSION,
        "vault": str(vault_id),
        "key": KEY_ID,
        "seq": len(chain.entries) + 1,
        "prev": chain.heads[-1],
        "at": moment.replace("+00:00", "Z"),
        "kind": kind,
        "body": dict(body),
    }
    signature = base64.b64encode(sign(DOMAIN + canonical_json(fields))).decode()
    line = canonical_json(fields | {"signature": signature})
    found, _ = _read(line, fields["seq"])
    return _entry(found, line)


def parse_ledger(data: bytes, vault_id: uuid.UUID, public: bytes) -> Chain:
    """The entries in these bytes, each proven by the ledger key's public half (32 bytes).

    Raises LedgerError: `line` (no entry), `version`, `foreign` (another vault's), `forged` (not signed by
    this key), `gap` (an entry is missing), `order` (it stands in another's place), `forked` (it follows
    another one than the one before it).
    """
    key = Ed25519PublicKey.from_public_bytes(public)
    *lines, rest = data.split(b"\n")
    chain = Chain(torn=len(rest))
    for number, line in enumerate(lines, start=1):
        fields, signature = _read(line, number)
        if fields["vault"] != str(vault_id):
            raise LedgerError("foreign", f"entry {number} is of vault {fields['vault']}")
        try:
            key.verify(signature, DOMAIN + canonical_json(fields))
        except InvalidSignature:
            raise LedgerError("forged", f"entry {number} is not signed by this vault's ledger key") from None
        if fields["seq"] > number:
            raise LedgerError("gap", f"entries {number} to {fields['seq'] - 1} are missing")
        if fields["seq"] < number:
            raise LedgerError("order", f"entry {fields['seq']} stands in place {number}")
        if fields["prev"] != chain.heads[-1]:
            raise LedgerError("forked", f"entry {number} does not follow the one before it")
        chain.add(_entry(fields, line))
    return chain


def _entry(fields: Mapping[str, Any], line: bytes) -> Entry:
    return Entry(fields["seq"], fields["at"], fields["kind"], fields["body"], line)


def _read(line: bytes, number: int) -> tuple[dict[str, Any], bytes]:
    """The fields of one line without the signature, and the signature; only the one spelling is accepted."""
    try:
        if len(line) > MAX_ENTRY_BYTES:
            raise ValueError("too long")
        fields = json.loads(line)
        if not isinstance(fields, dict):
            raise ValueError("no object")
        if type(fields.get("version")) is not int or fields["version"] != VERSION:
            raise LedgerError("version", f"entry {number} was made by a newer Fupan")
        if fields.keys() != _FIELDS or canonical_json(fields) != line:
            raise ValueError("not canonical")
        text = fields.pop("signature")
        signature = base64.b64decode(text, validate=True)
        if len(signature) != 64 or base64.b64encode(signature).decode() != text:
            raise ValueError("signature")
        if fields["key"] != KEY_ID or type(fields["seq"]) is not int:
            raise ValueError("key or number")
        if not _MOMENT.fullmatch(fields["at"]) or not re.fullmatch("[0-9a-f]{64}", fields["prev"]):
            raise ValueError("moment or chain")
        datetime.fromisoformat(fields["at"])
        _uuid(fields["vault"])
        _BODIES[fields["kind"]](fields["body"])
    except _UNREADABLE as error:
        raise LedgerError("line", f"entry {number}: {error}") from None
    return fields, signature


def _erase(body: Mapping[str, Any]) -> None:
    if body.keys() != {"mark", "event", "person", "recordings", "kept"}:
        raise ValueError("not an erasure")
    _uuid(body["mark"])
    _uuid(body["event"])
    if body["person"] is not None:
        _uuid(body["person"])
    listed = [*body["recordings"], *body["kept"]]
    if len(listed) > MAX_RECORDINGS or len(set(listed)) != len(listed):
        raise ValueError("recordings")
    for name in ("recordings", "kept"):
        if body[name] != sorted(map(_uuid, body[name])):
            raise ValueError("recordings are not in order")


def _day_key(body: Mapping[str, Any]) -> None:
    if body.keys() != {"day"}:
        raise ValueError("not a day key")
    check_name("day", body["day"])


_BODIES: dict[str, Callable[[Mapping[str, Any]], None]] = {ERASE: _erase, DAY_KEY: _day_key}


def _uuid(text: str) -> str:
    if str(uuid.UUID(text)) != text:
        raise ValueError("no id")
    return text
