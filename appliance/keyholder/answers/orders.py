"""Locking and unlocking, by a person's order."""

from __future__ import annotations

from appliance.audit.log import Action
from appliance.errors import InvalidInputError, LedgerRefusedError
from appliance.keyholder import gate
from appliance.keyholder.answers.desk import Desk, Operation, Peer
from appliance.keyholder.erasures import expected
from appliance.keyholder.wire import Request
from storage.vault import LedgerError


class Orders:
    """An unlock needs its committed event, once; a lock is never refused."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._custody = desk, desk.custody

    def operations(self) -> dict[str, Operation]:
        """Name → what answers it."""
        return {"lock": self._lock, "unlock": self._unlock, "expect_ledger": self._expect_ledger}

    def _lock(self, request: Request, peer: Peer) -> None:
        """Without an event, as when the database is down, this journal alone has it."""
        self._custody.lock()
        self._desk.ceremonies.end_all()
        event = request.uuid("event") if request.has("event") else None
        reason = {"reason": request.text("reason")} if request.has("reason") else {}
        recorded = {"event": str(event)} if event else {"unrecorded": True}
        self._desk.record("lock", peer, {**recorded, **reason})

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
        """With what is at hand: a key file, a credential, what people gave; `kind` for only one of them."""
        description, keyring = self._custody.description, self._desk.keyring
        kind = request.text("kind") if request.has("kind") else ""
        slot = keyring.at_hand(description, kind)
        if slot is None:  # asking for its key says what is missing
            slot = description.slot_of_kind(kind) or description.slots[0]
        slot_key = keyring.slot_key(description, slot)
        with slot_key:
            self._require_recorded(slot.id)
            self._desk.ordered(request, peer, Action.VAULT_UNLOCK)
            self._custody.unlock(slot, slot_key)
        self._desk.ceremonies.end_all()

    def _require_recorded(self, slot_id: str) -> None:
        found = self._desk.ceremonies.of("unlock", slot_id)
        if found is not None and found.asked.kind == "shares":
            gate.demand_shares(self._desk.settings, self._custody.vault_id, found.id, found.given)
