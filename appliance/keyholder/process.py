"""The keyholder as a process of its own: hardened, unlocked where the site allows it, then serving."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from types import FrameType

from appliance.config import Settings
from appliance.errors import FupanError, LedgerRefusedError
from appliance.keyholder import memory, vault_file
from appliance.keyholder.ceremony import Ceremonies
from appliance.keyholder.custody import Custody
from appliance.keyholder.journal import Journal
from appliance.keyholder.keyring import Keyring
from appliance.keyholder.server import Server
from appliance.keyholder.service import Service
from appliance.keyholder.unlock import create_vault
from appliance.selftest import require_known_answers

logger = logging.getLogger(__name__)


def open_server(settings: Settings) -> Server:
    """Everything but serving: the journal's lock, the vault (made at the embedded default's first start),
    the keys, the socket. An installed site may have no vault yet. Raises ConfigurationError, UnlockError and
    DamagedError."""
    journal, ceremonies = Journal(vault_file.own_folder(settings) / "journal"), Ceremonies()
    try:
        if settings.profile == "embedded":
            create_vault(settings)
        custody = Custody(settings, journal) if vault_file.path_of(settings).exists() else None
        if unheeded := vault_file.suite_not_obeyed(settings):
            logger.warning("%s", unheeded)
        if custody is not None:
            # Locked it says why to whoever looks, and takes what a person brings.
            with contextlib.suppress(LedgerRefusedError):
                _unlock_by_itself(settings, custody, journal, ceremonies)
        return Server(settings.keyholder_socket, Service(settings, custody, journal, ceremonies))
    except BaseException:
        ceremonies.end_all()
        journal.close()
        raise


def _unlock_by_itself(settings: Settings, custody: Custody, journal: Journal, ceremonies: Ceremonies) -> None:
    """At a start: with the key file of an embedded site, or with what systemd gave. An installed site whose
    credential does not open the vault serves all the same, locked."""
    keyring = Keyring(settings, ceremonies)
    slot = keyring.at_hand(custody.description)
    if slot is None and settings.profile == "embedded":
        slot = custody.description.slot_of_kind("file")  # its file is missing, which the next line says
    if slot is None:
        return
    try:
        custody.unlock(slot, keyring.slot_key(custody.description, slot))
    except FupanError as error:
        if settings.profile == "embedded":
            raise
        logger.error("the vault stays locked: %s", error)
        return
    if slot.kind != "file":
        journal.append({"op": "unlock", "slot": slot.id, "by": slot.kind})
    ceremonies.end_all()


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    memory.bind_now()
    memory.harden()
    memory.lock_all()
    require_known_answers()
    server = open_server(settings)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        # shutdown() waits for the loop below, so it cannot be called on this thread
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    logger.info("keyholder: vault %s", "locked" if server.service.locked else "unlocked")
    try:
        server.serve_forever(poll_interval=0.2)
    finally:
        server.server_close()
        server.service.close()
        settings.keyholder_socket.unlink(missing_ok=True)
