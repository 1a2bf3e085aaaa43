"""From a slot key to the vault key, proven; and the vault that an embedded site makes by itself.

A description of version 1 had no slots: its key file held the vault key. It becomes version 2 at the first
unlock, in one rename.
"""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import replace
from pathlib import Path

from appliance.config import Settings
from appliance.errors import ConfigurationError, DamagedError
from appliance.keyholder import vault_file
from appliance.keyholder.memory import SecretBytes
from appliance.keyholder.providers.file import FileProvider, read_key
from appliance.packet import to_timestamp
from appliance.vault_errors import UnlockError
from storage.vault import (
    Description,
    IntegrityError,
    Rekey,
    Slot,
    new_key,
    new_slot,
    new_slot_id,
    remove,
    vault_check,
    write_once,
)

FIRST_SUITE = 1


def open_vault(description: Description, slot: Slot, slot_key: SecretBytes) -> list[SecretBytes]:
    """The vault key that a slot gives, proven; where a rekey was begun, the new one before it.

    The slot key is wiped. Raises UnlockError("wrong_slot_key"), DamagedError for an altered description.
    """
    pending = description.pending
    ways = [(slot, description.check)]
    if isinstance(pending, Rekey):
        ways[:0] = [(each, pending.check) for each in pending.slots if each.id == slot.id]
    keys: list[SecretBytes] = []
    try:
        with slot_key as key:
            for each, check in ways:
                keys.append(SecretBytes(each.open(key)))
                if vault_check(description.vault_id, keys[-1].buffer) != check:
                    raise DamagedError(kind="vault.json")
        description.require(keys[-1].buffer)
    except BaseException as error:
        for held in keys:
            held.wipe()
        if not isinstance(error, IntegrityError):
            raise
        if error.kind == "key" and not keys:
            raise UnlockError(problem="wrong_slot_key") from error
        raise DamagedError(kind="vault.json") from error
    return keys


def new_description(vault_id: uuid.UUID, suite: int, vault_key: SecretBytes, *slots: Slot) -> Description:
    """The description of a new vault, sealed."""
    created = to_timestamp(dt.datetime.now(dt.UTC))
    sets = max((slot.shares.number for slot in slots if slot.shares), default=0)
    made = Description(vault_id, created, vault_check(vault_id, vault_key.buffer), suite, sets, slots)
    return made.sealed(vault_key.buffer)


def create_vault(settings: Settings) -> None:
    """Make the vault of an embedded site, its slot key in a file, unless there is one. The description is
    written last: a start that was cut short begins anew and leaves a key file that opens nothing."""
    if vault_file.path_of(settings).exists():
        return
    vault_file.require_empty(settings)
    read_or_make_secret(service_secret(settings))
    vault_id, slot_id, suite = uuid.uuid4(), new_slot_id(), settings.vault.suite or FIRST_SUITE
    vault_key = SecretBytes(new_key())
    with vault_key as key, FileProvider(settings).make(slot_id) as slot_key:
        slot = new_slot("file", vault_id, slot_key, key, suite, slot_id=slot_id)
        vault_file.create(settings, new_description(vault_id, suite, vault_key, slot))


def upgrade(settings: Settings) -> Description:
    """The site's description, in version 2; the vault key of version 1 does not stay on disk."""
    description = vault_file.describe(settings)
    old = settings.secrets_folder / "vault.key"
    if settings.profile == "installed" or (description.version > 1 and not old.exists()):
        return description
    with read_key(old) as key:
        try:
            description.require(key)
        except IntegrityError as error:
            raise DamagedError(kind="vault key") from error
        if description.version == 1:
            slot_id = new_slot_id()
            with FileProvider(settings).make(slot_id) as slot_key:
                slot = new_slot("file", description.vault_id, slot_key, key, FIRST_SUITE, slot_id=slot_id)
            description = replace(description, suite=FIRST_SUITE, slots=(slot,)).sealed(key)
            vault_file.change(settings, description)
    remove(old)
    return description


def service_secret(settings: Settings) -> Path:
    """The file whose key wraps the service keys, so that they work while the vault is locked."""
    return settings.secrets_folder / "keyholder.key"


def read_secret(path: Path) -> bytes:
    """32 bytes from a file of hexadecimal digits. Raises ConfigurationError."""
    try:
        return bytes(read_key(path).buffer)
    except UnlockError as error:
        raise ConfigurationError(what=str(error)) from error


def read_or_make_secret(path: Path) -> bytes:
    """The secret in this file; a new random one when the file is not there yet."""
    if not path.exists():
        write_once(path, new_key().hex().encode("ascii"))
    return read_secret(path)
