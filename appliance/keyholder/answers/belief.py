"""Whether the database is to be believed before anything is destroyed by its word, and since when it is.

What a restore lost for good is missed until somebody at the server says that it is lost (`Accepting`).
"""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass

from sqlalchemy import Connection, select

from appliance.audit.log import Action
from appliance.database import transaction
from appliance.errors import DatabaseDoubtfulError
from appliance.keyholder import day_gate, gate
from appliance.keyholder.answers.desk import Desk, Operation, Peer
from appliance.keyholder.wire import Request
from appliance.tables import attempt

ACCEPTED = "accepted"


@dataclass(frozen=True)
class Believed:
    """`now`: the earlier of two clocks; `invited`: recordings that packets were signed for, with the day keys
    that these name; `keyed`: those with a key; `erased`: those that the ledger names."""

    now: dt.datetime
    invited: dict[uuid.UUID, frozenset[str]]
    keyed: frozenset[uuid.UUID]
    erased: frozenset[uuid.UUID]


def believe(desk: Desk, tx: Connection) -> Believed:
    """Compare the database with what the keyholder knows by itself. Raises DatabaseDoubtfulError."""
    if desk.clock.leapt:
        raise DatabaseDoubtfulError(what="the clock was set by more than an hour")
    used, invited, lost = _recorded(desk)
    custody = desk.custody
    keyed = frozenset(map(uuid.UUID, custody.store.list("recording")))
    erased = _erased(desk)
    day_gate.require_believable(tx, custody.vault_id, used, frozenset(invited), keyed - lost, erased)
    return Believed(earlier_clock(desk, tx), invited, keyed, erased)


def earlier_clock(desk: Desk, tx: Connection) -> dt.datetime:
    """Now, by this machine's clock or by the database's: one that is ahead lets no time be over."""
    return min(desk.clock.now(), day_gate.now(tx))


class Accepting:
    """Says what the database lacks, and misses it no more for a recorded order that names as much."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def operations(self) -> dict[str, Operation]:
        """Name → what answers it."""
        return {"database_losses": self._count, "accept_database": self._accept}

    def _count(self, _request: Request, _peer: Peer) -> list[int]:
        return [len(each) for each in self._losses()]

    def _accept(self, request: Request, peer: Peer) -> None:
        events, interviews = self._losses()
        counts = {"events": len(events), "interviews": len(interviews)}
        self._desk.ordered(request, peer, Action.VAULT_ACCEPT, **counts)
        lost = {"events": list(map(str, events)), "interviews": list(map(str, interviews))}
        self._desk.record(ACCEPTED, peer, lost)

    def _losses(self) -> tuple[list[uuid.UUID], list[uuid.UUID]]:
        """Events that keys were given for, and interviews, that are not there. One that was changed is."""
        custody = self._desk.custody
        custody.require_unlocked()
        used, invited, before = _recorded(self._desk)
        keyed = frozenset(map(uuid.UUID, custody.store.list("recording"))) - before
        with transaction("keyholder", self._desk.settings) as tx:
            known = frozenset(tx.scalars(select(attempt.c.id)))
        gone = keyed.union(invited) - known - _erased(self._desk)
        return gate.missing_events(self._desk.settings, used), sorted(gone, key=str)


def _erased(desk: Desk) -> frozenset[uuid.UUID]:
    """The recordings that the erase ledger names."""
    named = desk.custody.erasures.named
    return frozenset(uuid.UUID(key_id) for kind, key_id in named if kind == "recording")


def _recorded(
    desk: Desk,
) -> tuple[dict[uuid.UUID, bytes], dict[uuid.UUID, frozenset[str]], frozenset[uuid.UUID]]:
    """What the journal knows: the events that keys were given for, with their hashes, and the recordings
    that packets were signed for, with the day keys that these name; both without what was accepted as lost,
    and the recordings that were."""
    lost: set[uuid.UUID] = set()
    used: dict[uuid.UUID, bytes] = {}
    invited: dict[uuid.UUID, frozenset[str]] = {}
    for entry in desk.done():
        if "event" in entry and "hash" in entry:
            used[uuid.UUID(entry["event"])] = bytes.fromhex(entry["hash"])
        if entry["op"] == "sign" and entry.get("kind") == "packet":
            recording = uuid.UUID(entry["recording"])
            named = {entry["day_key"]} if "day_key" in entry else set()
            invited[recording] = invited.get(recording, frozenset()) | named
        if entry["op"] == ACCEPTED:
            for event in map(uuid.UUID, entry["events"]):
                used.pop(event, None)
            lost.update(map(uuid.UUID, entry["interviews"]))
            invited = {each: named for each, named in invited.items() if each not in lost}
    return used, invited, frozenset(lost)
