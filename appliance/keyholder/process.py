"""The keyholder as a process of its own: hardened, unlocked where the site allows it, then serving."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import resource
import signal
import threading
from types import FrameType

from appliance.config import Settings
from appliance.errors import LedgerRefusedError
from appliance.keyholder.custody import Custody
from appliance.keyholder.journal import Journal
from appliance.keyholder.server import Server
from appliance.keyholder.service import Service
from appliance.keyholder.unlock import FileUnlock, create_vault, own_folder
from appliance.selftest import require_known_answers

PR_SET_DUMPABLE = 4

logger = logging.getLogger(__name__)


def harden() -> None:
    """No core dump, and no other process of this user may read the memory or attach a debugger."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_DUMPABLE")


def open_server(settings: Settings) -> Server:
    """Everything but serving: the journal's lock, the vault (made at the embedded default's first start),
    the keys, the socket. Raises ConfigurationError and DamagedError."""
    journal = Journal(own_folder(settings) / "journal")
    try:
        if settings.profile == "embedded":
            create_vault(settings)
        custody = Custody(settings, journal)
        if settings.profile == "embedded":
            # Locked it says why to whoever looks, and takes what a person brings.
            with contextlib.suppress(LedgerRefusedError):
                custody.unlock(FileUnlock(settings))
        return Server(settings.keyholder_socket, Service(settings, custody, journal))
    except BaseException:
        journal.close()
        raise


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    harden()
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
