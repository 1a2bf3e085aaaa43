"""How the console and the staff pages ask the keyholder about the vault itself: slots, shares, ceremonies.

Shares and PINs leave here encrypted to the ceremony's one-time key (`encrypted`); the pages do that in the
browser, and only carry what it made. Every failure is a typed error, as in client.py.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from appliance.config import Settings
from appliance.keyholder.client import Keyholder
from appliance.keyholder.erase_client import key_fingerprint
from appliance.keyholder.wire import to_bytes, to_text
from storage.vault import OneTimePair, handover_info, seal_to

# Making a child, asking a token, wrapping slots anew: longer than any answer about a recording.
TIMEOUT_SECONDS = 90.0


@dataclass(frozen=True)
class SlotView:
    """One slot. `ready`: its key is at hand now. `set`, `needed`, `count` of shares, else 0; `label`,
    `serial`, `key` of a token."""

    id: str
    kind: str
    created: str
    ready: bool
    set: int = 0
    needed: int = 0
    count: int = 0
    label: str = ""
    serial: str = ""
    key: str = ""


@dataclass(frozen=True)
class Pending:
    """A change that was begun: reshare (with `set`, `needed`, `count`), rekey or rotate (with `name`).
    `done` of `total` records are looked at; `running` is whether it goes on now."""

    kind: str
    set: int = 0
    needed: int = 0
    count: int = 0
    name: str = ""
    done: int = 0
    total: int = 0
    damaged: int = 0
    running: bool = False


@dataclass(frozen=True)
class CeremonyView:
    """How far a ceremony is. `public`: its one-time key, 65 bytes; `seconds`: until it is forgotten."""

    id: uuid.UUID
    purpose: str
    kind: str
    set: int
    needed: int
    count: int
    given: tuple[int, ...]
    complete: bool
    public: bytes
    fingerprint: str
    seconds: int


@dataclass(frozen=True)
class VaultView:
    """The vault as the keyholder has it. `memory`: what is kept out of swap: process, keys or nothing;
    `ledger`: how far the erase ledger goes; `ledger_key`: the fingerprint of the key that signs it."""

    vault_id: uuid.UUID
    locked: bool
    created: str
    suite: int
    slots: tuple[SlotView, ...]
    pending: Pending | None
    ceremonies: tuple[CeremonyView, ...]
    memory: str
    ledger: str = ""
    ledger_key: str = ""

    def slot_of_kind(self, kind: str) -> SlotView | None:
        """The first slot of a kind."""
        return next((slot for slot in self.slots if slot.kind == kind), None)

    def ceremony(self, purpose: str) -> CeremonyView | None:
        """The first ceremony for a purpose."""
        return next((each for each in self.ceremonies if each.purpose == purpose), None)


class VaultKeyholder(Keyholder):
    """The keyholder, asked about the vault itself."""

    def __init__(self, settings: Settings, timeout: float = TIMEOUT_SECONDS) -> None:
        super().__init__(settings, timeout)

    def vault(self) -> VaultView:
        """How the vault is. Raises NoVaultError where none was made yet."""
        found = self.ask("vault_status")
        return VaultView(
            uuid.UUID(found["vault"]),
            found["locked"],
            found["created"],
            found["suite"],
            tuple(SlotView(**slot) for slot in found["slots"]),
            _pending(found["pending"]),
            tuple(map(_ceremony, found["ceremonies"])),
            found["memory"],
            found["ledger"],
            key_fingerprint(to_bytes(found["ledger_key"])) if found["ledger_key"] else "",
        )

    def begin(self, purpose: str, kind: str) -> CeremonyView:
        """Begin a ceremony (unlock, read_back), or join the one that goes on. Raises UnlockError."""
        return _ceremony(self.ask("ceremony_begin", purpose=purpose, kind=kind))

    def begin_token(self, vault_id: uuid.UUID, label: str, key: str) -> CeremonyView:
        """Ask for a new token slot: the PIN is given next, then `add_slot` or `init`."""
        return _ceremony(self.ask("token_begin", vault=str(vault_id), label=label, key=key))

    def give(self, ceremony: uuid.UUID, sealed: bytes, via: str) -> tuple[CeremonyView, int, int]:
        """Hand on what somebody encrypted: how far it is, the share's index, its set. Raises UnlockError."""
        found = self.ask("ceremony_give", ceremony=str(ceremony), sealed=[to_text(sealed)], via=via)
        return _ceremony(found), found["index"], found["set"]

    def show(self, vault_id: uuid.UUID, ceremony: uuid.UUID, index: int) -> str:
        """The text of a new share, by its index."""
        pair = OneTimePair()
        sealed = self.ask("ceremony_show", ceremony=str(ceremony), index=index, to=[to_text(pair.public)])
        return pair.open(handover_info(vault_id, ceremony), to_bytes(sealed)).decode()

    def cancel(self, ceremony: uuid.UUID) -> None:
        """Forget what was given."""
        self.ask("ceremony_cancel", ceremony=str(ceremony))

    def init(self, event: uuid.UUID, vault_id: uuid.UUID, **wanted: Any) -> CeremonyView | None:
        """Make a vault: with a token or credential at once; with shares, a ceremony to show them and read
        them back. Raises VaultChangeError, UnlockError, ConfigurationError."""
        found = self.ask("init", event=str(event), vault=str(vault_id), **wanted)
        return _ceremony(found) if found else None

    def reshare(self, event: uuid.UUID, needed: int, count: int) -> CeremonyView:
        """A new set of shares, not in force before `activate`."""
        return _ceremony(self.ask("reshare", event=str(event), needed=needed, count=count))

    def activate(self, event: uuid.UUID, *, unread: bool) -> None:
        """Put the new set, or the new vault, into force."""
        self.ask("activate_shares", event=str(event), unread=unread)

    def add_slot(self, event: uuid.UUID, kind: str, ceremony: uuid.UUID | None = None) -> str:
        """A further slot (token, credential, file); returns its id."""
        fields = {"ceremony": str(ceremony)} if ceremony else {}
        made: str = self.ask("add_slot", event=str(event), kind=kind, **fields)
        return made

    def remove_slot(self, event: uuid.UUID, slot: str) -> None:
        self.ask("remove_slot", event=str(event), slot=slot)

    def rekey(self, event: uuid.UUID) -> None:
        """Begin a new vault key; `vault().pending` says how far it is."""
        self.ask("rekey", event=str(event))

    def rotate(self, event: uuid.UUID, name: str) -> None:
        """Begin a new key for a department and year; `vault().pending` says how far it is."""
        self.ask("rotate", event=str(event), name=name)

    def database_losses(self) -> tuple[int, int]:
        """How many events and interviews that the keyholder knows of are not in the database."""
        events, interviews = self.ask("database_losses")
        return events, interviews

    def accept_database(self, event: uuid.UUID) -> None:
        """Miss them no more; the event states as many."""
        self.ask("accept_database", event=str(event))

    def rewrap_wait(self) -> Pending | None:
        """The change of keys that goes on, after at most a second; None once it has ended."""
        return _pending(self.ask("rewrap_wait"))

    def unrecorded_locks(self) -> list[dict[str, Any]]:
        """Locks that only the keyholder's journal has: `lock` (its number), `at`, `reason`."""
        found: list[dict[str, Any]] = self.ask("unrecorded_locks")
        return found

    def lock_recorded(self, lock: int, event: uuid.UUID) -> None:
        """The audit log has this lock now."""
        self.ask("lock_recorded", lock=lock, event=str(event))


def encrypted(vault_id: uuid.UUID, ceremony: CeremonyView, secret: str) -> bytes:
    """A share or a PIN, for nobody but the process of this ceremony."""
    return seal_to(ceremony.public, handover_info(vault_id, ceremony.id), secret.encode())


def _pending(found: dict[str, Any] | None) -> Pending | None:
    known = Pending.__dataclass_fields__
    return Pending(**{name: value for name, value in found.items() if name in known}) if found else None


def _ceremony(found: dict[str, Any]) -> CeremonyView:
    return CeremonyView(
        uuid.UUID(found["ceremony"]),
        found["purpose"],
        found["kind"],
        found["set"],
        found["needed"],
        found["count"],
        tuple(found["given"]),
        found["complete"],
        to_bytes(found["public"]),
        found["fingerprint"],
        found["seconds"],
    )
