"""What is known of the log's hash chain: checked up to which entry, when, and with what result."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from flask import current_app
from sqlalchemy import Connection

from appliance.audit import log
from appliance.reading import access_log

# A walk over this many entries is quick enough to do while a page waits.
QUICK = 20_000
KEY = "fupan_chain"


@dataclass(frozen=True)
class ChainState:
    """The newest check of this process beside the log's present end. `checked` is None before the first."""

    head: int
    head_hash: str
    checked: log.Verification | None
    at: datetime | None

    @property
    def current(self) -> bool:
        """Whether the check covers every entry."""
        return self.checked is not None and self.checked.count == self.head


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
