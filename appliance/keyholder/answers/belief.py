"""Whether the database is to be believed before anything is destroyed by its word, and since when it is."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass

from sqlalchemy import Connection

from appliance.errors import DatabaseDoubtfulError
from appliance.keyholder import day_gate
from appliance.keyholder.answers.desk import Desk


@dataclass(frozen=True)
class Believed:
    """`now`: the earlier of two clocks; `invited`: recordings that packets were signed for, with the day keys
    that these name; `keyed`: those with a key; `erased`: those that the ledger names."""

    now: dt.datetime
    invited: dict[uuid.UUID, frozenset[str]]
    keyed: frozenset[uuid.UUID]
    erased: frozenset[uuid.UUID]


def believe(desk: Desk, tx: Connection) -> Believed:
    """Compare the database with what the keyholder knows by itself. Raises DatabaseDoubtfulError,
    VaultLockedError."""
    if desk.clock.leapt:
        raise DatabaseDoubtfulError(what="the clock was set by more than an hour")
    used, invited = _recorded(desk)
    custody = desk.custody
    keyed = frozenset(map(uuid.UUID, custody.store.list("recording")))
    destroyed = custody.erasures.chain().destroyed
    erased = frozenset(uuid.UUID(key_id) for kind, key_id in destroyed if kind == "recording")
    day_gate.require_believable(tx, custody.vault_id, used, frozenset(invited), keyed, erased)
    return Believed(min(desk.clock.now(), day_gate.now(tx)), invited, keyed, erased)


def _recorded(desk: Desk) -> tuple[dict[uuid.UUID, bytes], dict[uuid.UUID, frozenset[str]]]:
    """What the journal knows: the events that keys were given for, with their hashes, and the recordings
    that packets were signed for, with the day keys that these name."""
    used: dict[uuid.UUID, bytes] = {}
    invited: dict[uuid.UUID, frozenset[str]] = {}
    for entry in desk.done():
        if "event" in entry and "hash" in entry:
            used[uuid.UUID(entry["event"])] = bytes.fromhex(entry["hash"])
        if entry["op"] == "sign" and entry.get("kind") == "packet":
            recording = uuid.UUID(entry["recording"])
            named = {entry["day_key"]} if "day_key" in entry else set()
            invited[recording] = invited.get(recording, frozenset()) | named
    return used, invited
