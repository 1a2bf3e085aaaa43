"""Locking and unlocking, by a person's order."""

from __future__ import annotations

import threading

from appliance.errors import InvalidInputError, KeyRefusedError, LedgerRefusedError
from appliance.keyholder import gate
from appliance.keyholder.answers.desk import Desk, Operation, Peer
from appliance.keyholder.erasures import expected
from appliance.keyholder.keyring import Keyring
from appliance.keyholder.wire import Request
from storage.vault import LedgerError


class Orders:
    """An unlock needs its committed event, once; a lock is never refused."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._custody = desk, desk.custody
        self._keyring = Keyring(desk.settings)
        self._guard = threading.Lock()

    def operations(self) -> dict[str, Operation]:
        """Name → what answers it."""
        return {"lock": self._lock, "unlock": self._unlock, "expect_ledger": self._expect_ledger}

    def _lock(self, request: Request, peer: Peer) -> None:
        """Without an event, as when the database is down, this journal alone has it."""
        self._custody.lock()
        event = request.uuid("event") if request.has("event") else None
        self._desk.record("lock", peer, {"event": str(event)} if event else {"unrecorded": True})

    def _expect_ledger(self, request: Request, peer: Peer) -> None:
        """It only makes an unlock stricter, so it needs no event; an unlocked vault that fails is locked."""
        try:
            known = expected(request.text("ledger"), self._custody.services.publics())
        except LedgerError as error:
            raise InvalidInputError(what=error.detail) from error
        self._desk.record("expect_ledger", peer, {"expected": str(known.head), "source": known.source})
        try:
            self._custody.erasures.expect(known)
        except LedgerRefusedError:
            self._custody.lock()
            raise

    def _unlock(self, request: Request, peer: Peer) -> None:
        event = request.uuid("event")
        description = self._custody.description
        slot = self._keyring.at_hand(description) or description.slots[0]
        slot_key = self._keyring.slot_key(slot)
        with slot_key, self._guard:
            digest = gate.demand_unlock(self._desk.settings, self._custody.vault_id, event)
            if any(
                entry["op"] == "unlock" and entry.get("event") == str(event) for entry in self._desk.done()
            ):
                raise KeyRefusedError(reason="the event was used before")
            self._desk.record("unlock", peer, {"event": str(event), "hash": digest.hex()})
            self._custody.unlock(slot, slot_key)
