"""Where the vault key comes from, and the proof that it is the right one.

The embedded default keeps the vault key in a file of its own (docs/keys.md says what that is worth). An
installed site never does: there the key comes from the shares of several people.
"""

from __future__ import annotations

import ctypes
import datetime as dt
import hashlib
import hmac
import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from appliance.config import Settings
from appliance.errors import ConfigurationError, DamagedError
from appliance.keyholder.files import write_once
from appliance.packet import canonical, to_timestamp
from storage.vault import KeyStore, new_key

KEY_BYTES = 32


class UnlockProvider(Protocol):
    """Something that can produce the vault key: a file now, the shares of several people later."""

    def vault_key(self) -> bytes:
        """32 bytes. Raises ConfigurationError when it cannot."""


class FileUnlock:
    """The embedded default's provider: the key lies in secrets/vault.key."""

    def __init__(self, settings: Settings) -> None:
        if settings.profile == "installed":
            raise ConfigurationError(what="an installed site does not unlock its vault from a file")
        self.path = settings.secrets_folder / "vault.key"

    def vault_key(self) -> bytes:
        return read_secret(self.path)


@dataclass(frozen=True)
class VaultDescription:
    """keyholder/vault.json: which vault this is, and a value that only its key can produce."""

    vault_id: uuid.UUID
    created: str
    check: bytes

    def require(self, vault_key: bytes) -> None:
        """Raises DamagedError when this is not the vault's key."""
        if not hmac.compare_digest(check_value(self.vault_id, vault_key), self.check):
            raise DamagedError(kind="vault key")


def own_folder(settings: Settings) -> Path:
    """What the keyholder keeps beside the key records: vault.json, its journal, published day keys."""
    return settings.data / "keyholder"


def check_value(vault_id: uuid.UUID, vault_key: bytes) -> bytes:
    """HMAC-SHA256 of the vault's id under its key: proves the key, tells nothing about it."""
    return hmac.digest(vault_key, b"fupan vault key check v1" + vault_id.bytes, hashlib.sha256)


def describe(settings: Settings) -> VaultDescription:
    """Read keyholder/vault.json. Raises ConfigurationError."""
    path = own_folder(settings) / "vault.json"
    try:
        fields = json.loads(path.read_bytes())
        return VaultDescription(uuid.UUID(fields["vault"]), fields["created"], bytes.fromhex(fields["check"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(what=f"{path}: {error}") from error


def create_vault(settings: Settings) -> VaultDescription:
    """Make a new, empty vault with a file-held key, or describe the one that is there. Idempotent: the
    description is written last, so a start that was cut short is taken up again."""
    path = own_folder(settings) / "vault.json"
    if path.exists():
        return describe(settings)
    _require_empty(settings)
    vault_key = read_or_make_secret(FileUnlock(settings).path)
    read_or_make_secret(service_secret(settings))
    vault_id = uuid.uuid4()
    fields = {
        "version": 1,
        "vault": str(vault_id),
        "created": to_timestamp(dt.datetime.now(dt.UTC)),
        "check": check_value(vault_id, vault_key).hex(),
    }
    write_once(path, canonical(fields))
    return describe(settings)


def service_secret(settings: Settings) -> Path:
    """The file whose key wraps the service keys, so that they work while the vault is locked."""
    return settings.secrets_folder / "keyholder.key"


def read_secret(path: Path) -> bytes:
    """32 bytes from a file of hexadecimal digits. Raises ConfigurationError."""
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(what=f"{path}: {error}") from error
    if len(key) != KEY_BYTES:
        raise ConfigurationError(what=f"{path} does not hold a key")
    return key


def read_or_make_secret(path: Path) -> bytes:
    """The secret in this file; a new random one when the file is not there yet."""
    if not path.exists():
        write_once(path, new_key().hex().encode("ascii"))
    return read_secret(path)


def _require_empty(settings: Settings) -> None:
    """A new key beside old recordings would hide that the old key is lost."""
    store = KeyStore(settings.keys_folder)
    records = any(store.list(kind) for kind in ("day", "department-year", "recording"))
    if records or any(settings.vault_folder.glob("??/*")):
        missing = own_folder(settings) / "vault.json"
        raise ConfigurationError(what=f"{missing} is missing although recordings exist; restore the keys")


class SecretBytes:
    """A key in memory that is kept out of swap where the system allows it, and can be overwritten."""

    def __init__(self, value: bytes) -> None:
        self._buffer = bytearray(value)
        _lock_in_memory(self._buffer)

    def reveal(self) -> bytes:
        """The key, as a short-lived copy."""
        return bytes(self._buffer)

    def wipe(self) -> None:
        """Overwrite it."""
        self._buffer[:] = bytes(len(self._buffer))


def _lock_in_memory(buffer: bytearray) -> None:
    # Best effort: an unprivileged process may have no allowance, and swap should be off anyway.
    libc = ctypes.CDLL(None, use_errno=True)
    address = ctypes.addressof((ctypes.c_char * len(buffer)).from_buffer(buffer))
    libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(len(buffer)))
