"""The slots of this vault, and what can open each of them now."""

from __future__ import annotations

from appliance.config import Settings
from appliance.keyholder.ceremony import Ceremonies
from appliance.keyholder.memory import SecretBytes
from appliance.keyholder.providers import Provider
from appliance.keyholder.providers.credential import CredentialProvider
from appliance.keyholder.providers.file import FileProvider
from appliance.keyholder.providers.shares import SharesProvider
from appliance.keyholder.providers.token import TokenProvider
from storage.vault import Description, Slot


class Keyring:
    """Providers by the kind of slot that they serve."""

    def __init__(self, settings: Settings, ceremonies: Ceremonies) -> None:
        self._settings, self._ceremonies = settings, ceremonies

    def ready(self, description: Description, slot: Slot) -> bool:
        """Whether this slot's key is to be had now, without anybody's doing."""
        if slot.kind == "file" and self._settings.profile == "installed":
            return False
        return self._provider(description, slot).ready(slot)

    def at_hand(self, description: Description, kind: str = "") -> Slot | None:
        """A slot whose key is to be had now; None when there is none. `kind`: only slots of this one."""
        wanted = (slot for slot in description.slots if kind in ("", slot.kind))
        return next((slot for slot in wanted if self.ready(description, slot)), None)

    def slot_key(self, description: Description, slot: Slot) -> SecretBytes:
        """The key of a slot, to be wiped by the caller. Raises UnlockError, and ConfigurationError for a key
        in a file of an installed site."""
        return self._provider(description, slot).slot_key(slot)

    def _provider(self, description: Description, slot: Slot) -> Provider:
        match slot.kind:
            case "file":
                return FileProvider(self._settings)
            case "credential":
                return CredentialProvider()
            case "shares":
                return SharesProvider(self._ceremonies)
            case _:
                return TokenProvider(self._settings, self._ceremonies, description)
