"""A real keyholder on its socket, served by a thread of the test process."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from appliance.audit.log import Actor
from appliance.config import Settings, VaultSettings
from appliance.keyholder import day_keys, orders, process, vault_file
from appliance.keyholder.providers.file import FileProvider, read_key
from appliance.keyholder.server import Server


@contextlib.contextmanager
def running_keyholder(settings: Settings, days_ahead: int = 1) -> Iterator[Server]:
    """Serves until the block ends; makes and unlocks the site's vault if it has none yet. `days_ahead`: for
    how many days it makes keys, fewer than the product's since each waits four times for the disk."""
    with mock.patch.object(day_keys, "DAYS_AHEAD", days_ahead):
        yield from _serving(settings)


def _serving(settings: Settings) -> Iterator[Server]:
    server = process.open_server(settings)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        server.service.close()


def with_key_backups(settings: Settings) -> Settings:
    """The same site, whose key records are backed up into `key-backups/` of its data folder."""
    folder = settings.data / "key-backups"
    with (settings.data / "fupan.toml").open("a", encoding="utf-8") as file:
        file.write(f'[vault]\nkey_backup = "{folder}"\n')
    return dataclasses.replace(settings, vault=VaultSettings(str(folder)))


def unlock(settings: Settings) -> None:
    """Unlock the site's vault as the command line does."""
    orders.unlock(settings, Actor.unit("test"))


def key_file(settings: Settings) -> Path:
    """Where the slot key of an embedded site lies."""
    (slot,) = vault_file.describe(settings).slots
    return FileProvider(settings).path(slot.id)


def vault_key(settings: Settings) -> bytes:
    """The vault key of an embedded site, as its slot gives it."""
    (slot,) = vault_file.describe(settings).slots
    return slot.open(read_key(key_file(settings)).buffer)


def journal_lines(settings: Settings) -> list[bytes]:
    """What the keyholder has written down, oldest first: one JSON object a line."""
    return (settings.data / "keyholder" / "journal").read_bytes().splitlines()


def full_disk(_descriptor: int) -> None:
    """Stands in for `os.fdatasync` where nothing more can be written down."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
