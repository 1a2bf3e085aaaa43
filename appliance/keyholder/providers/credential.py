"""Slot keys and PINs that systemd hands to the keyholder's unit, decrypted by a TPM where there is one.

LoadCredentialEncrypted=fupan.vault:/etc/credstore.encrypted/fupan.vault
"""

from __future__ import annotations

import os
from pathlib import Path

from appliance.keyholder.memory import SecretBytes
from appliance.keyholder.providers.file import read_key
from appliance.vault_errors import UnlockError
from storage.vault import Slot

VAULT, TOKEN_PIN = "fupan.vault", "fupan.token-pin"


class CredentialProvider:
    """The key in `$CREDENTIALS_DIRECTORY/fupan.vault`, 64 hexadecimal digits."""

    def ready(self, slot: Slot) -> bool:
        return path_of(VAULT) is not None

    def slot_key(self, slot: Slot) -> SecretBytes:
        return self.key()

    def key(self) -> SecretBytes:
        """The credential's key, for whatever slot."""
        path = path_of(VAULT)
        if path is None:
            raise UnlockError(problem="credential", name=VAULT)
        return read_key(path)


def path_of(name: str) -> Path | None:
    """Where systemd put a credential of this process, or None when it has none of this name."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder) / name if folder else None
    return path if path is not None and path.is_file() else None
