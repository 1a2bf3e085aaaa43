"""People give what they hold: shares, or a token's PIN, each encrypted to the ceremony's one-time key."""

from __future__ import annotations

from typing import Any

from appliance.config import Settings
from appliance.errors import InvalidInputError
from appliance.keyholder.answers.desk import Desk, Operation, Peer, record
from appliance.keyholder.ceremony import Ceremonies, Ceremony, clock
from appliance.keyholder.journal import Journal
from appliance.keyholder.providers import shares, token
from appliance.keyholder.wire import Request, to_text
from appliance.vault_errors import UnlockError
from storage.vault import Description, Reshare, Slot, fingerprint

VIAS = ("console", "page", "credential")


class Giving:
    """What needs no vault: to ask a new token, to give, to be shown, to cancel."""

    def __init__(self, settings: Settings, ceremonies: Ceremonies, journal: Journal) -> None:
        self._settings, self._ceremonies, self._journal = settings, ceremonies, journal

    def operations(self) -> dict[str, Operation]:
        """Name → what answers it."""
        return {
            "token_begin": self._token_begin,
            "ceremony_give": self._give,
            "ceremony_show": self._show,
            "ceremony_cancel": self._cancel,
        }

    def _token_begin(self, request: Request, peer: Peer) -> dict[str, Any]:
        """A key for a slot that is yet to be made, by a token of this label."""
        asked = token.new_task(self._settings, request.text("label"), request.text("key"))
        made = self._ceremonies.begin(request.uuid("vault"), *asked)
        record(self._journal, "token_begin", peer, {"ceremony": str(made.id)})
        return view(made)

    def _give(self, request: Request, peer: Peer) -> dict[str, Any]:
        """Which share it was and how far the ceremony is, never the share; a wrong one is in the journal."""
        ceremony, via = request.uuid("ceremony"), request.text("via")
        if via not in VIAS:
            raise InvalidInputError(what="via")
        entry = {"ceremony": str(ceremony), "via": via}
        (sealed,) = request.blobs("sealed") or (b"",)
        try:
            found, given = self._ceremonies.give(ceremony, sealed, via)
        except UnlockError as error:
            record(self._journal, "ceremony_give", peer, {**entry, "refused": error.params["problem"]})
            raise
        record(self._journal, "ceremony_give", peer, {**entry, **given})
        return {**given, **view(found)}

    def _show(self, request: Request, peer: Peer) -> str:
        """A new share, encrypted to the console that asks; that it was shown is in the journal."""
        found = self._ceremonies.get(request.uuid("ceremony"))
        index = request.number("index", 1, found.asked.count)
        (to,) = request.blobs("to") or (b"",)
        if found.asked.purpose != "issue":
            raise UnlockError(problem="no_ceremony")
        record(self._journal, "ceremony_show", peer, {"ceremony": str(found.id), "index": index})
        return to_text(found.show(index, to))

    def _cancel(self, request: Request, peer: Peer) -> None:
        ceremony = request.uuid("ceremony")
        record(self._journal, "ceremony_cancel", peer, {"ceremony": str(ceremony)})
        self._ceremonies.end(ceremony)


class Begin:
    """Begins a ceremony about a slot of the vault, or joins the one that goes on."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def operations(self) -> dict[str, Operation]:
        """Name → what answers it."""
        return {"ceremony_begin": self._begin}

    def _begin(self, request: Request, peer: Peer) -> dict[str, Any]:
        """`purpose`: unlock (of the first slot of `kind`) or read_back (of the set that is pending)."""
        description, settings = self._desk.custody.description, self._desk.settings
        slot = _wanted(description, request.text("purpose"), request.text("kind"))
        if slot is None or slot.kind not in ("shares", "token"):
            raise UnlockError(problem="no_slot")
        asked = (
            token.task(settings, description, slot)
            if slot.kind == "token"
            else shares.task(description, slot, request.text("purpose"))
        )
        going = self._desk.ceremonies.of(asked[0].purpose, slot.id)
        made = going or self._desk.ceremonies.begin(description.vault_id, *asked)
        if going is None:
            self._desk.record("ceremony_begin", peer, {"ceremony": str(made.id), "slot": slot.id})
        return view(made)


def _wanted(description: Description, purpose: str, kind: str) -> Slot | None:
    if purpose == "unlock":
        return description.slot_of_kind(kind)
    if purpose == "read_back" and isinstance(description.pending, Reshare):
        return description.pending.slot
    return None


def view(ceremony: Ceremony) -> dict[str, Any]:
    """How far a ceremony is, for whoever asks. `seconds`: until it is forgotten."""
    asked = ceremony.asked
    return {
        "ceremony": str(ceremony.id),
        "purpose": asked.purpose,
        "kind": asked.kind,
        "set": asked.set,
        "needed": asked.needed,
        "count": asked.count,
        "given": ceremony.given,
        "complete": ceremony.complete,
        "public": to_text(ceremony.public),
        "fingerprint": fingerprint(ceremony.public),
        "seconds": max(0, int(ceremony.until - clock())),
    }
