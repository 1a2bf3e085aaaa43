"""File keys of open views, in this process' memory only, each for one lease at most.

The keyholder is asked for keys once a view and lease. That the vault was locked is learnt within LOCK_SECONDS
of use: then every key held here goes. A keyholder that does not answer changes nothing before the lease ends.
Python cannot promise that no copy of a key survives in memory; what is held here is overwritten.
"""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

from appliance.config import Settings
from appliance.errors import KeyholderDownError, KeyRefusedError, VaultLockedError
from appliance.keyholder.client import Keyholder
from storage.vault import SealedHeader, Vault

LOCK_SECONDS = 3.0
PATIENCE_SECONDS = 2.0


@dataclass(eq=False)
class _Held:
    """Keys of one view's files; `until` in seconds of the monotonic clock. `over` once they must not be kept:
    the view was closed or the vault locked while the keyholder was asked."""

    until: float = 0.0
    over: bool = False
    keys: dict[tuple[str, str], tuple[SealedHeader, bytearray]] = field(default_factory=dict)

    def wipe(self) -> None:
        for _, key in self.keys.values():
            key[:] = bytes(len(key))
        self.keys.clear()


class FileKeys:
    """Keys by view. Safe across threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held: dict[uuid.UUID, _Held] = {}
        self._asking: dict[uuid.UUID, list[_Held]] = {}
        self._unlocked_at = -LOCK_SECONDS

    def key(
        self,
        settings: Settings,
        vault: Vault,
        view_id: uuid.UUID,
        recording_id: uuid.UUID,
        lease_until: datetime,
        kind: str,
        name: str,
    ) -> tuple[SealedHeader, bytes]:
        """The header and key of one sealed file. Asks the keyholder for all of the recording's files at once.

        Raises storage's NotFound and IntegrityError, KeyRefusedError when the view ended meanwhile, and what
        the keyholder raises.
        """
        held = _Held()
        with self._guard:
            found = self._find(view_id, kind, name)
            if found is None:
                self._asking.setdefault(view_id, []).append(held)
        if found is not None:
            self.require_unlocked(settings)
            return found
        try:
            headers = {
                (file.kind, file.name): vault.header_of(recording_id, file.kind, file.name)
                for file in vault.list(recording_id)
            }
            wanted = headers.get((kind, name)) or vault.header_of(recording_id, kind, name)
            keys = Keyholder(settings).file_keys(
                recording_id, view_id, "replay", [header.raw for header in headers.values()]
            )
            lease = (lease_until - datetime.now(UTC)).total_seconds()
            held.until = time.monotonic() + max(0.0, min(lease, settings.timing.replay_lease))
            for place, key in zip(headers, keys, strict=True):
                held.keys[place] = (headers[place], bytearray(key))
            answer = bytes(held.keys[kind, name][1])
            self._keep(view_id, held)
        finally:
            with self._guard:
                self._asking[view_id].remove(held)
                if not self._asking[view_id]:
                    del self._asking[view_id]
        return wanted, answer

    def require_unlocked(self, settings: Settings) -> None:
        """Raises VaultLockedError, with no key left here, once the vault is locked."""
        if time.monotonic() - self._unlocked_at < LOCK_SECONDS:
            return
        try:
            locked = Keyholder(settings, timeout=PATIENCE_SECONDS).status().locked
        except KeyholderDownError:
            return
        if locked:
            with self._guard:
                for held in self._held.values():
                    held.wipe()
                self._held.clear()
                for asking in self._asking.values():
                    for held in asking:
                        held.over = True
            raise VaultLockedError
        self._unlocked_at = time.monotonic()

    def forget(self, view_id: uuid.UUID) -> None:
        """Overwrite and drop the keys of a view, and those that are on their way to it."""
        with self._guard:
            for asking in self._asking.get(view_id, ()):
                asking.over = True
            held = self._held.pop(view_id, None)
            if held is not None:
                held.wipe()

    def __len__(self) -> int:
        """How many views have keys here now."""
        return len(self._held)

    def _find(self, view_id: uuid.UUID, kind: str, name: str) -> tuple[SealedHeader, bytes] | None:
        held = self._held.get(view_id)
        if held is None or held.until <= time.monotonic() or (kind, name) not in held.keys:
            return None
        header, key = held.keys[kind, name]
        return header, bytes(key)

    def _keep(self, view_id: uuid.UUID, held: _Held) -> None:
        with self._guard:
            if held.over:
                held.wipe()
                raise KeyRefusedError(reason="the view has ended")
            before = self._held.pop(view_id, None)
            if before is not None:
                before.wipe()
            self._held[view_id] = held
        timer = threading.Timer(max(0.0, held.until - time.monotonic()), self._expire, (view_id, held))
        timer.daemon = True
        timer.start()

    def _expire(self, view_id: uuid.UUID, held: _Held) -> None:
        with self._guard:
            held.wipe()
            if self._held.get(view_id) is held:
                del self._held[view_id]
