"""The keys that browsers seal to: private halves under the vault key, public halves stated and signed.

A key is named by its day (UTC). Each has a statement of its own, `day-keys/<day>.json`, by a service key; the
list that goes to intake is made of them. Making a key needs the vault key, stating and listing do not.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import logging
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

from appliance import packet
from appliance.day_list import day_list_statement
from appliance.errors import VaultLockedError
from appliance.keyholder.key_backups import KeyBackups
from appliance.keyholder.service_keys import ServiceKeys
from appliance.keyholder.vault_key import VaultKey
from storage.vault import (
    IntegrityError,
    KeyRecord,
    KeyStore,
    NotFound,
    Opening,
    VaultError,
    VaultFull,
    new_day_key,
    open_epoch_key,
    write_once,
)

DAYS_AHEAD = 30
DAY = dt.timedelta(days=1)

logger = logging.getLogger(__name__)


class DayKeys:
    """Safe across threads."""

    def __init__(
        self,
        vault_id: uuid.UUID,
        store: KeyStore,
        folder: Path,
        services: ServiceKeys,
        vault_key: VaultKey,
        backups: KeyBackups,
    ) -> None:
        """`folder` keeps the signed statements of public halves."""
        self._vault_id, self._store, self._folder = vault_id, store, folder
        self._services, self._vault_key, self._backups = services, vault_key, backups
        self._guard = threading.RLock()
        self._proven: dict[Path, tuple[tuple[int, int], packet.DayKey]] = {}
        self._list: tuple[tuple[packet.DayKey, ...], bytes] = ((), b"")

    # --- public halves -------------------------------------------------------------------------------------

    def published(self) -> list[packet.DayKey]:
        """The published day keys, oldest first. Each is proven by its signature: a public half swapped on
        disk would let a stranger open what browsers seal."""
        with self._guard:
            found = {path: self._stated(path) for path in sorted(self._folder.glob("[!.]*.json"))}
            self._proven = {path: each for path, each in found.items() if each is not None}
            return [key for _, key in self._proven.values()]

    def current(self, day: dt.date) -> packet.DayKey | None:
        """The key in use on a day: its own, or the last one before it, as when the vault stays locked."""
        come = [key for key in self.published() if key.id <= day.isoformat()]
        return come[-1] if come else None

    def listed(self, day: dt.date) -> list[packet.DayKey]:
        """What intake may bind links with on a day and after it, and on the day before, by another clock."""
        first = self.current(day - DAY)
        return [key for key in self.published() if first is None or key.id >= first.id]

    def day_list(self, day: dt.date) -> bytes | None:
        """Those in one signed list, the same bytes while they are the same; None while there is none."""
        with self._guard:
            keys = tuple(self.listed(day))
            if keys and self._list[0] != keys:
                self._list = keys, self._services.state(day_list_statement(self._vault_id, keys))
            return self._list[1] if keys else None

    def _stated(self, path: Path) -> tuple[tuple[int, int], packet.DayKey] | None:
        if self._store.is_destroyed("day", path.stem):
            return None
        status = path.stat()
        version = (status.st_ino, status.st_mtime_ns)
        known = self._proven.get(path)
        if known is not None and known[0] == version:
            return known
        envelope = path.read_bytes()
        try:
            stated = packet.open_envelope(envelope, self._services.publics(), "day_key")
        except packet.PacketError as error:
            logger.error("published day key %s is not genuine: %s", path.name, error.kind)
            return None
        if stated["vault"] != str(self._vault_id) or stated["id"] != path.stem:
            logger.error("published day key %s is of another vault or day", path.name)
            return None
        public = base64.b64decode(stated["public"])
        return version, packet.DayKey(stated["id"], public, envelope.decode())

    # --- making and stating --------------------------------------------------------------------------------

    def publish(self, today: dt.date) -> None:
        """Make and state today's key and those of the next DAYS_AHEAD days, as far as they are not there.

        Where keys are backed up, a key is stated only once its record is in a backup that was read back, so
        that no disk takes with it what alone opens an interview. While the vault is locked none is made;
        one that waited for its backup is stated all the same. A day that cannot be had is left out and
        logged: the key before it stays in use then.
        """
        with self._guard:
            self._withdraw_destroyed()
            waiting = list(self._unstated(today))
            if not all(self._backups.holds("day", record.id) for record in waiting):
                self._back_up(today)
            for record in waiting:
                if self._backups.holds("day", record.id):
                    assert record.public is not None
                    statement = packet.day_key_statement(self._vault_id, record.id, record.public, record.id)
                    write_once(self._folder / f"{record.id}.json", self._services.state(statement))

    def _unstated(self, today: dt.date) -> Iterator[KeyRecord]:
        """The records of the days that have no statement, made as far as that is possible."""
        for ahead in range(DAYS_AHEAD + 1):
            day = (today + ahead * DAY).isoformat()
            try:
                if (self._folder / f"{day}.json").exists() or self._store.is_destroyed("day", day):
                    continue
                record = self._record(day)
            except IntegrityError as error:
                logger.error("the day key of %s is not published: %s", day, error)
            except (VaultFull, OSError) as error:
                logger.error("day keys from %s on are not published: %s", day, error)
                return
            else:
                if record is not None:
                    yield record

    def _back_up(self, today: dt.date) -> None:
        try:
            self._backups.make(today)
        except (VaultError, OSError) as error:
            logger.error("new day keys are not published, since they cannot be backed up: %s", error)

    def _record(self, day: str) -> KeyRecord | None:
        """The record of a day's key, made if that is possible; None while the vault is locked."""
        try:
            record = self._store.get("day", day)
        except NotFound:
            private, public = new_day_key()
            try:
                self._vault_key.keep(self._store, "day", day, private, public)
            except VaultLockedError:
                return None
            return self._store.get("day", day)
        with contextlib.suppress(VaultLockedError):
            self._vault_key.unwrap(record)  # one that does not open must never be sealed to
        return record

    def _withdraw_destroyed(self) -> None:
        """What a crash left of a destruction, or a restore brought back."""
        for path in self._folder.glob("[!.]*.json"):
            if self._store.is_destroyed("day", path.stem):
                path.unlink(missing_ok=True)

    # --- private halves ------------------------------------------------------------------------------------

    def destroy(self, day: str) -> None:
        """Remove a key for ever; the erase ledger names it already. Repeating it is harmless."""
        with self._guard:
            self._store.destroy("day", day)
            self._withdraw_destroyed()

    def epoch_key(self, opening: Opening) -> bytes:
        """The key (32 bytes) in an opening. Raises NotFound for an unknown day key, BadOpening."""
        self._vault_key.require()
        record = self._store.get("day", opening.day_key_id)
        return open_epoch_key(self._vault_key.unwrap(record), opening)
