"""`fupan vault init`: a site without a vault gets one. Nothing is written before its first slot is proven."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from appliance.audit.log import Action
from appliance.config import Settings
from appliance.keyholder import vault_file
from appliance.keyholder.answers.ceremonies import view
from appliance.keyholder.answers.desk import Operation, Peer, ordered
from appliance.keyholder.answers.new_slots import issue_task, share_slot, token_slot
from appliance.keyholder.ceremony import Ceremonies, Ceremony
from appliance.keyholder.custody import Custody
from appliance.keyholder.journal import Journal
from appliance.keyholder.memory import SecretBytes
from appliance.keyholder.providers.credential import CredentialProvider
from appliance.keyholder.unlock import new_description
from appliance.keyholder.wire import Request
from appliance.vault_errors import NoVaultError, UnlockError
from storage.vault import SUITES, Slot, new_key, new_slot

MakeSlot = Callable[[bytearray, bytearray], Slot]


@dataclass(frozen=True)
class Begun:
    """A vault that is not written yet: its shares wait to be read back."""

    vault_id: uuid.UUID
    suite: int
    ceremony: uuid.UUID


class Beginning:
    """Answers while there is no vault. `opened` is called with the custody of the new one."""

    def __init__(
        self, settings: Settings, ceremonies: Ceremonies, journal: Journal, opened: Callable[[Custody], None]
    ) -> None:
        self._settings, self._ceremonies, self._journal = settings, ceremonies, journal
        self._opened = opened
        self._begun: Begun | None = None

    def operations(self) -> dict[str, Operation]:
        """Name → what answers it."""
        return {"init": self._init, "activate_shares": self._activate}

    def _init(self, request: Request, peer: Peer) -> dict[str, Any] | None:
        """With a token or a credential the vault is made at once; with shares a ceremony begins."""
        vault_file.require_empty(self._settings)
        vault_id, kind = request.uuid("vault"), request.text("kind")
        suite = request.number("suite", min(SUITES), max(SUITES))
        match kind:
            case "shares":
                needed, count = request.number("needed", 2, 16), request.number("count", 2, 16)
                task = issue_task(vault_id, 1, needed, count)
                self._ordered(request, peer, vault_id, Action.VAULT_INIT, kind=kind, suite=suite)
                self._ceremonies.end_all()
                ceremony = self._ceremonies.begin(vault_id, *task)
                self._begun = Begun(vault_id, suite, ceremony.id)
                return view(ceremony)
            case "token":
                ceremony = self._ceremonies.get(request.uuid("ceremony"))
                slot_key = ceremony.slot_key()
                self._ordered(request, peer, vault_id, Action.VAULT_INIT, kind=kind, suite=suite)
                self._make(
                    vault_id,
                    suite,
                    slot_key,
                    lambda key, vault: token_slot(ceremony, vault_id, key, vault, suite),
                )
            case "credential":
                slot_key = CredentialProvider().key()
                self._ordered(request, peer, vault_id, Action.VAULT_INIT, kind=kind, suite=suite)
                self._make(
                    vault_id, suite, slot_key, lambda key, vault: new_slot(kind, vault_id, key, vault, suite)
                )
            case _:
                raise UnlockError(problem="no_slot")
        return None

    def _activate(self, request: Request, peer: Peer) -> None:
        """Write the vault, once each share was read back, or without if that is ordered."""
        begun, unread = self._begun, request.flag("unread")
        if begun is None:
            raise NoVaultError
        ceremony = self._ceremonies.get(begun.ceremony)
        if not unread and not ceremony.complete:
            raise UnlockError(problem="unread")
        self._ordered(request, peer, begun.vault_id, Action.VAULT_ACTIVATE, set=1, unread=unread)
        self._make(begun.vault_id, begun.suite, ceremony.slot_key(), self._shares(begun, ceremony))
        self._begun = None

    def _shares(self, begun: Begun, ceremony: Ceremony) -> MakeSlot:
        return lambda key, vault: share_slot(ceremony, begun.vault_id, key, vault, begun.suite)

    def _make(self, vault_id: uuid.UUID, suite: int, slot_key: SecretBytes, make: MakeSlot) -> None:
        vault_key = SecretBytes(new_key())
        with vault_key as vault, slot_key as key:
            slot = make(key, vault)
            vault_file.create(self._settings, new_description(vault_id, suite, vault_key, slot))
            custody = Custody(self._settings, self._journal, new=True)
            custody.unlock(slot, slot_key)
        self._ceremonies.end_all()
        self._opened(custody)

    def _ordered(
        self, request: Request, peer: Peer, vault_id: uuid.UUID, action: Action, **details: Any
    ) -> None:
        ordered(self._settings, self._journal, request, peer, vault_id, action, **details)
