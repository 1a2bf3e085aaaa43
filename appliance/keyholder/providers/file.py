"""The embedded default's provider: the slot key lies in a file of the same machine (docs/keys.md)."""

from __future__ import annotations

import os
from pathlib import Path

from appliance.config import Settings
from appliance.errors import ConfigurationError
from appliance.keyholder.memory import SecretBytes
from appliance.vault_errors import UnlockError
from storage.vault import Slot, new_key, remove, write_once

KEY_BYTES = 32
DIGITS = b"0123456789abcdef0123456789ABCDEF"


class FileProvider:
    """Keys in `secrets/slot-<id>.key`, 64 hexadecimal digits.

    Raises ConfigurationError on an installed site.
    """

    def __init__(self, settings: Settings) -> None:
        if settings.profile == "installed":
            raise ConfigurationError(what="an installed site does not unlock its vault from a file")
        self._folder = settings.secrets_folder

    def path(self, slot_id: str) -> Path:
        """The file of one slot."""
        return self._folder / f"slot-{slot_id}.key"

    def ready(self, slot: Slot) -> bool:
        return self.path(slot.id).exists()

    def slot_key(self, slot: Slot) -> SecretBytes:
        return read_key(self.path(slot.id))

    def make(self, slot_id: str) -> SecretBytes:
        """A new key for a slot that does not exist yet; it lasts."""
        write_once(self.path(slot_id), new_key().hex().encode("ascii"))
        return read_key(self.path(slot_id))

    def remove(self, slot_id: str) -> None:
        """Take a slot's file away; one that is not there is fine."""
        remove(self.path(slot_id))


def read_key(path: Path) -> SecretBytes:
    """32 bytes from a file of hexadecimal digits, read into buffers alone. Raises UnlockError("key_file")."""
    digits = bytearray(2 * KEY_BYTES + 2)
    key = bytearray(KEY_BYTES)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            length = os.readv(descriptor, [digits])
        finally:
            os.close(descriptor)
        while length and digits[length - 1] in b"\r\n":
            length -= 1
        if length != 2 * KEY_BYTES:
            raise ValueError("not 64 digits")
        for place in range(KEY_BYTES):
            high, low = digits[2 * place : 2 * place + 2]
            key[place] = DIGITS.index(high) % 16 << 4 | DIGITS.index(low) % 16
        return SecretBytes(key)
    except (OSError, ValueError) as error:
        raise UnlockError(problem="key_file", path=str(path)) from error
    finally:
        digits[:] = bytes(len(digits))
