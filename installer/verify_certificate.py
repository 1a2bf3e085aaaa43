"""Checks an erasure certificate without Fupan, without a network and with nothing but Python's own library.

    python3 verify_certificate.py erasure-….json --key "1f0c 77a2 …" [--ledger keys/ledger]

--key is the fingerprint of the ledger key as `fupan vault status` shows it; spaces do not matter. --ledger is
a copy of the erase ledger: then it is checked too that the entry stands in its place and the chain is whole.
Exit code 0: genuine, and what it states is printed. 1: it is not, and why. 2: nothing was checked.

Ed25519 is that of RFC 8032, written out here since Python has none; it is slow and only ever verifies.
"""

from __future__ import annotations

import argparse
import base64
import datetime as dt
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

CERTIFICATE, LEDGER = b"fupan erasure certificate v1\n", b"fupan erase ledger v1\n"
FIELDS = {
    "type", "version", "vault", "key", "public", "mark", "person", "recordings", "kept", "erased_at",
    "unrecoverable_at", "backups_kept_days", "ledger", "basis", "case", "marked_at",
}  # fmt: skip
BODY = ("mark", "person", "recordings", "kept")


class NotGenuineError(Exception):
    """Why a certificate proves nothing."""


def main(arguments: list[str] | None = None) -> int:
    """Check one file; prints and returns as the module says."""
    parser = argparse.ArgumentParser(description="Check an erasure certificate.")
    parser.add_argument("file", type=Path)
    parser.add_argument(
        "--key", required=True, help="the ledger key's fingerprint, from `fupan vault status`"
    )
    parser.add_argument("--ledger", type=Path, help="a copy of the erase ledger")
    given = parser.parse_args(arguments)
    try:
        stated = verify(given.file.read_bytes(), given.key)
        if given.ledger is not None:
            require_in_ledger(stated, given.ledger.read_bytes())
    except NotGenuineError as error:
        print(f"NOT GENUINE: {error}")
        return 1
    except OSError as error:
        print(f"not checked, as a file cannot be read: {error}")
        return 2
    print("genuine")
    print(f"keys destroyed     {stated['erased_at']}")
    print(f"out of all backups {stated['unrecoverable_at']}")
    print(f"daily generations  {stated['backups_kept_days']}")
    print(f"person             {stated['person'] or '-'}")
    print(f"recordings         {' '.join(stated['recordings']) or '-'}")
    print(f"kept for a hold    {' '.join(stated['kept']) or '-'}")
    print(f"ledger entry       {stated['ledger']['seq']} {stated['ledger']['head']}")
    return 0


def verify(data: bytes, fingerprint: str) -> dict[str, Any]:
    """What a certificate states, proven by the ledger key of this fingerprint. Raises NotGenuineError."""
    envelope = _object(data, "the file")
    if set(envelope) != {"statement", "signature"} or not isinstance(envelope["statement"], str):
        raise NotGenuineError("the file is no certificate")
    stated = _object(envelope["statement"].encode(), "the statement")
    if set(stated) != FIELDS or stated["type"] != "erasure-certificate":
        raise NotGenuineError("the statement is not one about an erasure")
    if stated["version"] != 1:
        raise NotGenuineError("it was made by a newer Fupan; use the verifier of that release")
    public = _bytes(stated["public"], 32)
    if hashlib.sha256(public).hexdigest() != "".join(fingerprint.split()).lower():
        raise NotGenuineError("it is signed by another key than the one with this fingerprint")
    message = CERTIFICATE + envelope["statement"].encode()
    if not ed25519(public, message, _bytes(envelope["signature"], 64)):
        raise NotGenuineError("its signature does not fit what it states")
    _require_entry(stated, public)
    if stated["unrecoverable_at"] != _unrecoverable(stated["erased_at"], stated["backups_kept_days"]):
        raise NotGenuineError("its two dates do not fit each other")
    return stated


def require_in_ledger(stated: dict[str, Any], ledger: bytes) -> None:
    """The entry stands in its place in this ledger, whose chain is whole. Raises NotGenuineError."""
    public, before = _bytes(stated["public"], 32), "00" * 32
    lines = ledger.split(b"\n")[:-1]
    for number, line in enumerate(lines, start=1):
        entry = _entry(line, public)
        if (entry["seq"], entry["prev"]) != (number, before):
            raise NotGenuineError(f"the ledger's chain breaks at entry {number}")
        before = hashlib.sha256(line).hexdigest()
    place = stated["ledger"]["seq"]
    if len(lines) < place or lines[place - 1] != stated["ledger"]["entry"].encode():
        raise NotGenuineError(f"entry {place} of the ledger is another one, or is missing")


def _require_entry(stated: dict[str, Any], public: bytes) -> None:
    """The ledger's own words say the same."""
    told = stated["ledger"]
    if not isinstance(told, dict) or set(told) != {"seq", "head", "entry"}:
        raise NotGenuineError("the entry of the ledger is missing")
    line = str(told["entry"]).encode()
    entry = _entry(line, public)
    if hashlib.sha256(line).hexdigest() != told["head"] or entry["seq"] != told["seq"]:
        raise NotGenuineError("the entry of the ledger has another number or digest")
    same = all(entry["body"].get(name) == stated[name] for name in BODY)
    if not same or entry["kind"] != "erase" or entry["vault"] != stated["vault"]:
        raise NotGenuineError("the entry of the ledger says something else")
    if entry["at"] != stated["erased_at"]:
        raise NotGenuineError("the entry of the ledger was written at another time")


def _entry(line: bytes, public: bytes) -> dict[str, Any]:
    entry = _object(line, "an entry of the ledger")
    try:
        signature = _bytes(entry.pop("signature"), 64)
        missing = {"seq", "prev", "kind", "vault", "at", "body"} - entry.keys()
    except KeyError:
        raise NotGenuineError("an entry of the ledger is not signed") from None
    if missing or not isinstance(entry["body"], dict):
        raise NotGenuineError("an entry of the ledger is cut")
    if not ed25519(public, LEDGER + _canonical(entry), signature):
        raise NotGenuineError(f"entry {entry['seq']} of the ledger is not signed by this key")
    return entry


def _unrecoverable(erased_at: str, kept_days: int) -> str:
    if not kept_days:
        return erased_at
    day = dt.datetime.fromisoformat(erased_at.replace("Z", "+00:00")).date() + dt.timedelta(
        days=kept_days + 1
    )
    return f"{day.isoformat()}T00:00:00.000Z"


def _object(data: bytes, what: str) -> dict[str, Any]:
    """A JSON object in its one spelling; a file may end with a newline."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise NotGenuineError(f"{what} is not JSON") from None
    if not isinstance(found, dict) or _canonical(found) != data.rstrip(b"\n"):
        raise NotGenuineError(f"{what} is not in its one spelling")
    return found


def _canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _bytes(text: Any, length: int) -> bytes:
    try:
        found = base64.b64decode(text, validate=True)
    except (ValueError, TypeError):
        raise NotGenuineError("a key or signature is not base64") from None
    if len(found) != length:
        raise NotGenuineError("a key or signature has a wrong length")
    return found


# --- Ed25519, RFC 8032, section 6: points are (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z ------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)
Point = tuple[int, int, int, int]


def ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether this signature (64 bytes) of a message is by the key of this public half (32 bytes)."""
    key, commitment = _point(public), _point(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or scalar >= ORDER:
        return False
    digest = hashlib.sha512(signature[:32] + public + message).digest()
    challenge = int.from_bytes(digest, "little") % ORDER
    return _equal(_times(scalar, BASE), _add(commitment, _times(challenge, key)))


def _point(data: bytes) -> Point | None:
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & ((1 << 255) - 1)
    x = _x_of(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


def _x_of(y: int, sign: int) -> int | None:
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if square == 0:
        return None if sign else 0
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P:
        return None
    return P - x if x & 1 != sign else x


def _add(one: Point, other: Point) -> Point:
    a, b = (one[1] - one[0]) * (other[1] - other[0]) % P, (one[1] + one[0]) * (other[1] + other[0]) % P
    c, d = 2 * one[3] * other[3] * D % P, 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(scalar: int, point: Point) -> Point:
    result: Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point, scalar = _add(point, point), scalar >> 1
    return result


def _equal(one: Point, other: Point) -> bool:
    return not (one[0] * other[2] - other[0] * one[2]) % P and not (one[1] * other[2] - other[1] * one[2]) % P


def _base() -> Point:
    y = 4 * pow(5, P - 2, P) % P
    x = _x_of(y, 0)
    assert x is not None
    return x, y, 1, x * y % P


BASE = _base()


if __name__ == "__main__":
    sys.exit(main())
