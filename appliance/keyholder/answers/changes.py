"""Changes of a vault's keys, slots and shares: each needs the unlocked vault and its event, once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from appliance.audit.log import Action
from appliance.keyholder.answers.ceremonies import view
from appliance.keyholder.answers.desk import Desk, Operation, Peer
from appliance.keyholder.answers.new_slots import issue_task, share_slot, token_slot
from appliance.keyholder.memory import SecretBytes
from appliance.keyholder.providers.credential import CredentialProvider
from appliance.keyholder.providers.file import FileProvider
from appliance.keyholder.wire import Request
from appliance.vault_errors import UnlockError, VaultChangeError
from storage.vault import (
    KeyStore,
    NotFound,
    Rekey,
    Reshare,
    Rotate,
    Slot,
    new_key,
    new_slot,
    new_slot_id,
    parse_record,
    vault_check,
)

MAX_SLOTS = 16


class Changes:
    """Reshare, slots, rekey, rotate."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._custody = desk, desk.custody
        self._store: KeyStore = desk.custody.store

    def operations(self) -> dict[str, Operation]:
        """Name → what answers it."""
        return {
            "reshare": self._reshare,
            "activate_shares": self._activate,
            "add_slot": self._add_slot,
            "remove_slot": self._remove_slot,
            "rekey": self._rekey,
            "rotate": self._rotate,
        }

    def _reshare(self, request: Request, peer: Peer) -> dict[str, Any]:
        """A new set of shares; the present one stays in force until `activate_shares`."""
        self._custody.require_unlocked()
        description = self._custody.description
        if isinstance(description.pending, Rekey | Rotate):
            raise VaultChangeError(why="its keys are being changed; wait until that has ended")
        old = description.slot_of_kind("shares")
        if old is None:
            self._require_room()
        needed, count = request.number("needed", 2, 16), request.number("count", 2, 16)
        asked = issue_task(description.vault_id, description.sets + 1, needed, count)
        self._desk.ordered(request, peer, Action.VAULT_RESHARE, needed=needed, count=count)
        for purpose in ("issue", "read_back"):
            self._end(purpose)
        ceremony = self._desk.ceremonies.begin(description.vault_id, *asked)
        with ceremony.slot_key() as slot_key, self._custody.vault_key.buffers() as (vault_key, *_):
            slot = share_slot(ceremony, description.vault_id, slot_key, vault_key, description.suite)
            pending = Reshare(slot, old.id if old else "")
            self._custody.change(replace(description, sets=ceremony.asked.set, pending=pending))
        return view(ceremony)

    def _activate(self, request: Request, peer: Peer) -> None:
        """Put the new set into force, once each share of it was read back, or without if that is ordered."""
        self._custody.require_unlocked()
        description = self._custody.description
        pending, unread = description.pending, request.flag("unread")
        if not isinstance(pending, Reshare) or pending.slot.shares is None:
            raise VaultChangeError(why="no new shares wait to be put into force")
        going = [
            self._desk.ceremonies.of("issue", ""),
            self._desk.ceremonies.of("read_back", pending.slot.id),
        ]
        number = pending.slot.shares.number
        if not unread and not any(each and each.complete and each.asked.set == number for each in going):
            raise UnlockError(problem="unread")
        self._desk.ordered(request, peer, Action.VAULT_ACTIVATE, set=number, unread=unread)
        kept = tuple(slot for slot in description.slots if slot.id != pending.replaces)
        self._custody.change(replace(description, slots=(*kept, pending.slot), pending=None))
        self._desk.ceremonies.end_all()

    def _add_slot(self, request: Request, peer: Peer) -> str:
        """A further way to the vault key; returns its id."""
        self._require_changeable()
        self._require_room()
        description, kind = self._custody.description, request.text("kind")
        slot_id, ceremony = new_slot_id(), None
        match kind:
            case "token":
                ceremony = self._desk.ceremonies.get(request.uuid("ceremony"))
                key = ceremony.slot_key()
            case "credential":
                key = CredentialProvider().key()
            case "file":
                key = FileProvider(self._desk.settings).make(slot_id)
            case _:
                raise UnlockError(problem="no_slot")
        with key as slot_key:
            self._desk.ordered(request, peer, Action.VAULT_ADD_SLOT, kind=kind)
            with self._custody.vault_key.buffers() as (vault_key, *_):
                made = (
                    token_slot(ceremony, description.vault_id, slot_key, vault_key, description.suite)
                    if ceremony
                    else new_slot(
                        kind, description.vault_id, slot_key, vault_key, description.suite, slot_id=slot_id
                    )
                )
            self._custody.change(replace(description, slots=(*description.slots, made)))
        if ceremony:
            self._desk.ceremonies.end(ceremony.id)
        return made.id

    def _remove_slot(self, request: Request, peer: Peer) -> None:
        """The last one cannot go."""
        self._require_changeable()
        description = self._custody.description
        slot = description.slot(request.text("slot"))
        if slot is None:
            raise UnlockError(problem="no_slot")
        if len(description.slots) == 1:
            raise VaultChangeError(why="its last slot cannot be removed; add another one first")
        self._desk.ordered(request, peer, Action.VAULT_REMOVE_SLOT, slot=slot.id)
        self._custody.change(
            replace(description, slots=tuple(each for each in description.slots if each.id != slot.id))
        )
        if slot.kind == "file":
            FileProvider(self._desk.settings).remove(slot.id)

    def _rekey(self, request: Request, peer: Peer) -> None:
        """A new vault key. Every slot's own key must be at hand, since each slot wraps the new one."""
        self._require_changeable()
        description = self._custody.description
        keys: list[tuple[Slot, SecretBytes]] = []
        new = SecretBytes(new_key())
        try:
            for slot in description.slots:
                keys.append((slot, self._slot_key(slot)))
            self._desk.ordered(request, peer, Action.VAULT_REKEY)
            slots = tuple(slot.rewrapped(key.buffer, new.buffer, description.suite) for slot, key in keys)
            pending = Rekey(vault_check(description.vault_id, new.buffer), slots)
            self._custody.begin_rekey(replace(description, pending=pending), new)
        finally:
            for _, key in keys:
                key.wipe()
        self._desk.ceremonies.end_all()
        self._custody.rewrapping.start()

    def _slot_key(self, slot: Slot) -> SecretBytes:
        try:
            return self._desk.keyring.slot_key(self._custody.description, slot)
        except UnlockError as error:
            if error.params["problem"] != "too_few":
                raise
            raise VaultChangeError(
                why=f"the key of slot {slot.id} ({slot.kind}) is not at hand; give it first"
            ) from error

    def _rotate(self, request: Request, peer: Peer) -> None:
        """A new key for one department and year."""
        self._require_changeable()
        name, description = request.text("name"), self._custody.description
        try:
            self._store.get("department-year", name)
        except NotFound:
            raise VaultChangeError(why=f"there is no department and year {name}") from None
        self._desk.ordered(request, peer, Action.VAULT_ROTATE, name=name)
        record = parse_record(self._custody.vault_key.wrap("department-year", name, new_key()))
        with self._custody.tree.still():
            self._custody.change(replace(description, pending=Rotate(record)))
        self._custody.rewrapping.start()

    def _require_changeable(self) -> None:
        self._custody.require_unlocked()
        if self._custody.description.pending is not None:
            raise VaultChangeError(why="another change was begun; see: fupan vault status")

    def _require_room(self) -> None:
        if len(self._custody.description.slots) >= MAX_SLOTS:
            raise VaultChangeError(why="it has as many slots as it can have; remove one first")

    def _end(self, purpose: str) -> None:
        for each in self._desk.ceremonies.going():
            if each.asked.purpose == purpose:
                self._desk.ceremonies.end(each.id)
