"""Day keys at the end of their use: which are idle, and their destruction by a recorded order."""

from __future__ import annotations

import threading

from appliance.database import transaction
from appliance.errors import DatabaseDoubtfulError, KeyRefusedError
from appliance.keyholder import day_gate, day_rule
from appliance.keyholder.answers.belief import believe
from appliance.keyholder.answers.desk import Desk, Operation, Peer
from appliance.keyholder.wire import Request

DESTROY = "destroy_day_key"


class Days:
    """What is destroyed, the keyholder decides by itself each time; the order only says that it may."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._custody = desk, desk.custody
        self._guard = threading.Lock()

    def operations(self) -> dict[str, Operation]:
        """Name → what answers it."""
        return {"idle_day_keys": self._idle_day_keys, "destroy_day_keys": self._destroy_day_keys}

    def _idle_day_keys(self, _request: Request, peer: Peer) -> list[str]:
        self._custody.require_unlocked()
        return self._idle(peer)

    def _destroy_day_keys(self, request: Request, peer: Peer) -> list[str]:
        """Each is a line of the journal and an entry of the erase ledger before its record goes; what a crash
        leaves of that is gone after the next unlock."""
        self._custody.require_unlocked()
        event = request.uuid("event")
        with self._guard:
            with transaction("keyholder", self._desk.settings) as tx:
                digest, ordered = day_gate.demand_order(tx, self._custody.vault_id, event)
            if any(
                entry["op"] == DESTROY and entry.get("event") == str(event) for entry in self._desk.done()
            ):
                raise KeyRefusedError(reason="the event was used before")
            destroyed = [day for day in self._idle(peer) if day in ordered]
            for day in destroyed:
                entry = {"event": str(event), "hash": digest.hex(), "day": day}
                self._desk.record(DESTROY, peer, entry)
                self._custody.erasures.note_day_key(day)
                self._custody.days.destroy(day)
        return destroyed

    def _idle(self, peer: Peer) -> list[str]:
        """The keys that nothing needs any more. Raises DatabaseDoubtfulError, which is an alarm as well."""
        try:
            return self._decide()
        except DatabaseDoubtfulError as error:
            self._desk.alarm("day_keys_kept", peer, what=str(error.params["what"]))
            raise

    def _decide(self) -> list[str]:
        with transaction("keyholder", self._desk.settings) as tx:
            known = believe(self._desk, tx)
            holders = day_gate.holders(tx, known.now, known.invited, known.erased)
        published = {key.id for key in self._custody.days.published()}
        destroyed = self._custody.erasures.chain().destroyed
        gone = {key_id for kind, key_id in destroyed if kind == "day"}  # they ended the time of those before
        kept = {*self._custody.store.list("day"), *published} - gone
        return day_rule.idle(kept, published | gone, holders, known.now)
