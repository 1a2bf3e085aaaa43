"""The slot key from the shares of several people, once enough of them were given (ceremony.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.keyholder.ceremony import Asked, Ceremonies
from appliance.keyholder.memory import SecretBytes
from appliance.vault_errors import UnlockError
from storage.vault import Description, Slot


class SharesProvider:
    """The slot key of a ceremony that is complete."""

    def __init__(self, ceremonies: Ceremonies) -> None:
        self._ceremonies = ceremonies

    def ready(self, slot: Slot) -> bool:
        found = self._ceremonies.of("unlock", slot.id)
        return found is not None and found.complete

    def slot_key(self, slot: Slot) -> SecretBytes:
        """Raises UnlockError("too_few"); what was given stays until the ceremony ends."""
        found = self._ceremonies.of("unlock", slot.id)
        if found is None:
            raise UnlockError(problem="too_few")
        return found.slot_key()


def task(description: Description, slot: Slot, purpose: str) -> tuple[Asked, Mapping[str, Any]]:
    """What a ceremony asks for: enough shares to unlock, or all of a new set to read it back."""
    assert slot.shares is not None
    needed = slot.shares.count if purpose == "read_back" else slot.shares.needed
    asked = Asked(purpose, slot.id, "shares", slot.shares.number, needed, slot.shares.count)
    text = description.encode().decode()
    return asked, {"task": "collect", "description": text, "slot": slot.id, "needed": needed}
