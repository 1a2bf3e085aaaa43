"""The slot key from a token (PKCS#11), once its PIN was given: by a person, or by systemd at the start.

The token is asked by the ceremony's process (token_driver.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from appliance.config import Settings
from appliance.keyholder.ceremony import Asked, Ceremonies
from appliance.keyholder.memory import SecretBytes
from appliance.keyholder.providers.credential import TOKEN_PIN, path_of
from appliance.vault_errors import UnlockError
from storage.vault import Description, Slot, handover_info, seal_to


class TokenProvider:
    """The slot key of a ceremony whose PIN was right, or of one that the PIN of a credential completes."""

    def __init__(self, settings: Settings, ceremonies: Ceremonies, description: Description) -> None:
        self._settings, self._ceremonies, self._description = settings, ceremonies, description

    def ready(self, slot: Slot) -> bool:
        found = self._ceremonies.of("unlock", slot.id)
        return path_of(TOKEN_PIN) is not None or (found is not None and found.complete)

    def slot_key(self, slot: Slot) -> SecretBytes:
        """Raises UnlockError; a wrong PIN of a credential is tried once for each order, never by itself."""
        found = self._ceremonies.of("unlock", slot.id)
        if found is None or not found.complete:
            found = self._ceremonies.begin(
                self._description.vault_id, *task(self._settings, self._description, slot)
            )
            path = path_of(TOKEN_PIN)
            if path is None:
                raise UnlockError(problem="too_few")
            pin = path.read_bytes().strip()
            bound = handover_info(self._description.vault_id, found.id)
            self._ceremonies.give(found.id, seal_to(found.public, bound, pin), "credential")
        return found.slot_key()


def task(settings: Settings, description: Description, slot: Slot) -> tuple[Asked, Mapping[str, Any]]:
    """What a ceremony asks the token of a slot for."""
    assert slot.token is not None
    asked = Asked("unlock", slot.id, "token")
    text = description.encode().decode()
    place = {"module": settings.vault.token_module, "label": slot.token.label, "key": slot.token.key}
    return asked, {"task": "token", "description": text, "slot": slot.id, **place}


def new_task(settings: Settings, label: str, key: str) -> tuple[Asked, Mapping[str, Any]]:
    """What a ceremony asks a token for whose slot is yet to be made."""
    place = {"module": settings.vault.token_module, "label": label, "key": key}
    return Asked("token", "", "token"), {"task": "token", **place}
