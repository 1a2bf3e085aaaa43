"""The keys that browsers seal to: private halves under the vault key, public halves stated and signed."""

from __future__ import annotations

import base64
import datetime as dt
import logging
import threading
import uuid
from pathlib import Path

from appliance import packet
from appliance.keyholder.files import write_once
from appliance.keyholder.service_keys import ServiceKeys
from appliance.keyholder.vault_key import VaultKey
from storage.vault import KeyStore, NotFound, Opening, new_day_key, open_epoch_key, unwrap, wrap

logger = logging.getLogger(__name__)


class DayKeys:
    """Named by their day (UTC). Safe across threads."""

    def __init__(
        self, vault_id: uuid.UUID, store: KeyStore, folder: Path, services: ServiceKeys, vault_key: VaultKey
    ) -> None:
        """`folder` keeps the signed statements of public halves."""
        self._vault_id, self._store, self._folder = vault_id, store, folder
        self._services, self._vault_key = services, vault_key
        self._guard = threading.RLock()

    def published(self) -> list[packet.DayKey]:
        """The published day keys, oldest first. Each is proven by its signature: a public half swapped on
        disk would let a stranger open what browsers seal."""
        found = []
        for path in sorted(self._folder.glob("[!.]*.json")):
            envelope = path.read_bytes()
            try:
                stated = packet.open_envelope(envelope, self._services.publics(), "day_key")
            except packet.PacketError as error:
                logger.error("published day key %s is not genuine: %s", path.name, error.kind)
                continue
            if stated["vault"] == str(self._vault_id) and stated["id"] == path.stem:
                public = base64.b64decode(stated["public"])
                found.append(packet.DayKey(stated["id"], public, envelope.decode()))
        return found

    def publish(self, day: dt.date) -> str:
        """Make the day key of `day` (UTC) unless it exists, then state its public half. Returns its id.

        Raises VaultLockedError when it is to be made while the vault is locked.
        """
        name = day.isoformat()
        path = self._folder / f"{name}.json"
        with self._guard:
            if path.exists():
                return name
            vault_key = self._vault_key.use()
            try:
                record = self._store.get("day", name)
                unwrap(vault_key, record)
            except NotFound:
                private, public = new_day_key()
                parent = str(self._vault_id)
                made = wrap(vault_key, kind="day", key_id=name, parent=parent, key=private, public=public)
                self._store.put("day", name, made)
                record = self._store.get("day", name)
            assert record.public is not None
            statement = packet.day_key_statement(self._vault_id, name, record.public, name)
            write_once(path, self._services.state(statement))
            return name

    def epoch_key(self, opening: Opening) -> bytes:
        """The key (32 bytes) in an opening. Raises NotFound for an unknown day key, BadOpening."""
        vault_key = self._vault_key.use()
        record = self._store.get("day", opening.day_key_id)
        return open_epoch_key(unwrap(vault_key, record), opening)
