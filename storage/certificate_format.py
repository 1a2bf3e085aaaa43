"""Erasure certificates as bytes: what was erased, when, and from when on no backup opens it. Pure.

An envelope is canonical JSON with `statement`, itself canonical JSON as text, and `signature`: Ed25519 by the
ledger key, over DOMAIN and the statement. The ledger's own entry stands in it, signed by the same key.
docs/erasure.md has the fields; installer/verify_certificate.py reads them with the standard library alone.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import uuid
from collections.abc import Callable
from typing import Any

from storage.keys import canonical_json
from storage.ledger_format import KEY_ID, Entry

VERSION = 1
TYPE = "erasure-certificate"
DOMAIN = b"fupan erasure certificate v1\n"


def unrecoverable_from(erased: dt.datetime, kept_days: int) -> dt.datetime:
    """From when on no backup holds the keys (UTC). `kept_days`: so many daily generations are kept.

    The newest generation with the keys can be of the day itself. It goes when that of `kept_days` days later
    is made, which is at the latest when that day ends.
    """
    if not kept_days:
        return erased
    day = erased.astimezone(dt.UTC).date() + dt.timedelta(days=kept_days + 1)
    return dt.datetime.combine(day, dt.time(), dt.UTC)


def make_certificate(
    entry: Entry,
    vault_id: uuid.UUID,
    public: bytes,
    kept_days: int,
    about: dict[str, str],
    sign: Callable[[bytes], bytes],
) -> dict[str, Any]:
    """The envelope for an erasure's entry. `public`: of the ledger key, 32 bytes; `about`: `basis`, `case`
    and `marked_at`, where they are known."""
    statement = {
        "type": TYPE,
        "version": VERSION,
        "vault": str(vault_id),
        "key": KEY_ID,
        "public": base64.b64encode(public).decode(),
        "mark": entry.body["mark"],
        "person": entry.body["person"],
        "recordings": list(entry.body["recordings"]),
        "kept": list(entry.body["kept"]),
        "erased_at": entry.at,
        "unrecoverable_at": _moment(unrecoverable_from(entry.moment, kept_days)),
        "backups_kept_days": kept_days,
        "ledger": {
            "seq": entry.seq,
            "head": hashlib.sha256(entry.line).hexdigest(),
            "entry": entry.line.decode(),
        },
        **{name: about.get(name, "") for name in ("basis", "case", "marked_at")},
    }
    text = canonical_json(statement)
    signature = base64.b64encode(sign(DOMAIN + text)).decode()
    return {"statement": text.decode(), "signature": signature}


def _moment(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
