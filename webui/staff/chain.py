"""What is known of the log's hash chain: checked up to which entry, when, and with what result."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from flask import current_app
from sqlalchemy import Connection

from appliance.audit import log
from appliance.reading import access_log

# A walk over this many entries is quick enough to do while a page waits.
QUICK = 20_000
KEY = "fupan_chain"
HASH = re.compile(r"[0-9a-f]{16,64}")
GROUP = 8  # letters of a hash that are read, and written down, at once


@dataclass(frozen=True)
class ChainState:
    """The newest check of this process beside the log's present end. `checked` is None before the first."""

    head: int
    head_hash: str
    checked: log.Verification | None
    at: datetime | None

    @property
    def groups(self) -> list[str]:
        """The newest entry's hash in groups, to be copied by hand."""
        return [self.head_hash[at : at + GROUP] for at in range(0, len(self.head_hash), GROUP)]

    @property
    def current(self) -> bool:
        """Whether the check covers every entry."""
        return self.checked is not None and self.checked.count == self.head


@dataclass(frozen=True)
class Noted:
    """What an auditor wrote down earlier, and whether the log still says so.

    `result`: `same`, `different` (the log was rewritten since), `missing` (it is shorter than it was) or
    `unclear` (too little to compare); empty when nothing was asked.
    """

    seq: str
    hash: str
    result: str = ""


def compare(tx: Connection, seq: str, digest: str) -> Noted:
    """Compare an entry that was noted elsewhere, its hash or the first groups of it, with the log."""
    number, typed = seq.strip(), "".join(digest.split()).lower()
    if not number and not typed:
        return Noted("", "")
    if not (number.isdecimal() and len(number) < 19 and HASH.fullmatch(typed)):
        return Noted(seq, digest, "unclear")
    found = access_log.event(tx, int(number))
    if found is None:
        return Noted(number, digest, "missing")
    return Noted(number, digest, "same" if found.hash.hex().startswith(typed) else "different")


def chain_state(tx: Connection) -> ChainState:
    """The state for the top of each page; a short log is checked when it has grown."""
    count, digest = access_log.head(tx)
    kept: tuple[log.Verification, datetime] | None = current_app.extensions.get(KEY)
    if (kept is None or kept[0].count != count) and count <= QUICK:
        check_chain(tx)
        kept = current_app.extensions[KEY]
    checked, at = kept if kept else (None, None)
    return ChainState(count, digest.hex(), checked, at)


def check_chain(tx: Connection) -> log.Verification:
    """Walk the whole chain and keep the result."""
    found = log.verify(tx)
    current_app.extensions[KEY] = (found, datetime.now(UTC))
    return found
