"""The slots of this vault, and what can open each of them now."""

from __future__ import annotations

from appliance.config import Settings
from appliance.keyholder.memory import SecretBytes
from appliance.keyholder.providers import Provider
from appliance.keyholder.providers.credential import CredentialProvider
from appliance.keyholder.providers.file import FileProvider
from appliance.vault_errors import UnlockError
from storage.vault import Description, Slot


class Keyring:
    """Providers by the kind of slot that they serve."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._credential = CredentialProvider()

    def at_hand(self, description: Description) -> Slot | None:
        """A slot whose key is to be had now, without anybody's doing; None when there is none."""
        for slot in description.slots:
            if slot.kind == "file" and self._settings.profile == "installed":
                continue
            if self._provider(slot).ready(slot):
                return slot
        return None

    def slot_key(self, slot: Slot) -> SecretBytes:
        """The key of a slot, to be wiped by the caller. Raises UnlockError, and ConfigurationError for a key
        in a file of an installed site."""
        return self._provider(slot).slot_key(slot)

    def _provider(self, slot: Slot) -> Provider:
        match slot.kind:
            case "file":
                return FileProvider(self._settings)
            case "credential":
                return self._credential
        raise UnlockError(problem="no_slot")
