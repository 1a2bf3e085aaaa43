"""How the vault is: its slots, what was begun, who gave what, how keys are kept in memory."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from appliance.keyholder.answers.ceremonies import view
from appliance.keyholder.answers.desk import Desk, Operation, Peer
from appliance.keyholder.wire import Request, to_text
from storage.vault import Rekey, Reshare, Rotate, Slot


class VaultStatus:
    """Needs no event and tells no secret."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def operations(self) -> dict[str, Operation]:
        """Name → what answers it."""
        return {
            "vault_status": self._status,
            "rewrap_wait": self._wait,
            "unrecorded_locks": self._unrecorded,
            "lock_recorded": self._recorded,
        }

    def _status(self, _request: Request, _peer: Peer) -> dict[str, Any]:
        custody = self._desk.custody
        description = custody.description
        return {
            "vault": str(description.vault_id),
            "locked": custody.locked,
            "created": description.created,
            "suite": description.suite,
            "slots": [self._slot(slot) for slot in description.slots],
            "pending": self._pending(),
            "ceremonies": [view(each) for each in self._desk.ceremonies.going()],
            "memory": custody.memory,
            "ledger": str(custody.erasures.head),
            "ledger_key": to_text(custody.erasures.public or b""),
        }

    def _slot(self, slot: Slot) -> dict[str, Any]:
        ready = self._desk.keyring.ready(self._desk.custody.description, slot)
        found: dict[str, Any] = {"id": slot.id, "kind": slot.kind, "created": slot.created, "ready": ready}
        if slot.shares:
            found |= {"set": slot.shares.number, "needed": slot.shares.needed, "count": slot.shares.count}
        if slot.token:
            found |= {"label": slot.token.label, "serial": slot.token.serial, "key": slot.token.key}
        return found

    def _pending(self) -> dict[str, Any] | None:
        """The change that was begun and how far it is."""
        match self._desk.custody.description.pending:
            case Reshare() as pending:
                return {**self._slot(pending.slot), "kind": "reshare"}
            case Rekey():
                return {"kind": "rekey", **self._progress()}
            case Rotate() as pending:
                return {"kind": "rotate", "name": pending.record.id, **self._progress()}
        return None

    def _progress(self) -> dict[str, Any]:
        rewrapping = self._desk.custody.rewrapping
        return {**asdict(rewrapping.progress), "running": rewrapping.running}

    def _wait(self, _request: Request, _peer: Peer) -> dict[str, Any] | None:
        """As `pending` of the status, once the change has ended or a second has passed."""
        self._desk.custody.rewrapping.wait(1.0)
        return self._pending()

    def _unrecorded(self, _request: Request, _peer: Peer) -> list[dict[str, Any]]:
        """Locks that only this journal has: by itself, or while the database was down."""
        recorded = {entry["lock"] for entry in self._desk.done() if entry["op"] == "lock_recorded"}
        return [
            {"lock": entry["seq"], "at": entry["at"], "reason": entry.get("reason", "")}
            for entry in self._desk.done()
            if entry["op"] == "lock" and entry.get("unrecorded") and entry["seq"] not in recorded
        ]

    def _recorded(self, request: Request, peer: Peer) -> None:
        """The audit log has this lock now, as this event."""
        entry = {"lock": request.number("lock", 1, 2**53), "event": str(request.uuid("event"))}
        self._desk.record("lock_recorded", peer, entry)
