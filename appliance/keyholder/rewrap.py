"""A change of the vault key or a department and year's: each key under it is wrapped anew, media never.

The order makes it resumable after a kill at any point: the change is written into the vault's description
first, with everything that is needed to go on; then records are replaced one by one, each by a rename; the
change is in force by one more rename; what was old is forgotten last. Until then both keys open.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from appliance.errors import FupanError, VaultLockedError
from appliance.vault_errors import DamagedRecordsError
from storage.vault import IntegrityError, KeyRecord, NotFound, Rekey, Rotate, VaultError, rewrap, unwrap

if TYPE_CHECKING:
    from appliance.keyholder.custody import Custody

# What may hang on the vault key itself; recording keys hang on a department and year's.
UNDER_THE_VAULT_KEY = ("day", "department-year", "person", "service")

logger = logging.getLogger(__name__)


@dataclass
class Progress:
    """How far a change is: records looked at, of how many; those that open under neither key."""

    done: int = 0
    total: int = 0
    damaged: int = 0


class Rewrapping:
    """The change that was begun, if any, carried on by a thread of its own. Safe across threads."""

    def __init__(self, custody: Custody) -> None:
        self._custody = custody
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None
        self.progress = Progress()

    def start(self) -> None:
        """Go on with what the description says was begun; nothing when nothing was."""
        if not self.running and isinstance(self._custody.description.pending, Rekey | Rotate):
            self._thread = threading.Thread(target=self._run, name="rewrap", daemon=True)
            self._thread.start()

    def wait(self, seconds: float | None = None) -> None:
        """Until it has ended, one way or the other, or so long."""
        if self._thread is not None:
            self._thread.join(seconds)

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.finish()
        except VaultLockedError:
            logger.warning("the vault was locked while its keys were wrapped anew; the next unlock goes on")
        except DamagedRecordsError as error:
            logger.error("%s", error)
        except Exception:
            logger.exception("wrapping keys anew was cut short; the next unlock goes on")

    def finish(self) -> None:
        """Carry the change that was begun to its end. Raises VaultLockedError, VaultFull, OSError, and
        DamagedRecordsError while records are damaged; then the next call goes on."""
        with self._guard:
            self.progress = Progress()
            match self._custody.description.pending:
                case Rekey() as pending:
                    self._rekey(pending)
                case Rotate() as pending:
                    self._rotate(pending)

    def _rekey(self, pending: Rekey) -> None:
        custody, store = self._custody, self._custody.store
        names = [(kind, key_id) for kind in UNDER_THE_VAULT_KEY for key_id in store.list(kind)]
        self.progress.total = len(names)
        for kind, key_id in names:
            try:
                record = store.get(kind, key_id)
                if record.parent == str(custody.vault_id) and (made := custody.vault_key.renewed(record)):
                    store.replace(kind, key_id, made, replaces=record.digest)
            except NotFound:
                pass  # erased meanwhile
            except IntegrityError as error:
                self._damaged(kind, key_id, error)
            self.progress.done += 1
        self._require_whole()
        now = replace(custody.description, check=pending.check, slots=pending.slots, pending=None)
        custody.change(now)
        custody.vault_key.forget_old()
        logger.info("the vault key was changed; %s records looked at", self.progress.done)
        self._back_up()

    def _rotate(self, pending: Rotate) -> None:
        custody, store = self._custody, self._custody.store
        name, kind = pending.record.id, "department-year"
        old_record = store.get(kind, name)
        old, new = custody.vault_key.unwrap(old_record), custody.vault_key.unwrap(pending.record)
        names = store.list("recording")
        self.progress.total = len(names)
        for key_id in names:
            try:
                record = store.get("recording", key_id)
                if record.parent == name and not _opens(record, new):
                    made = rewrap(old, record, new, custody.description.suite)
                    store.replace("recording", key_id, made, replaces=record.digest)
            except NotFound:
                pass  # erased meanwhile
            except IntegrityError as error:
                self._damaged("recording", key_id, error)
            self.progress.done += 1
        self._require_whole()
        with custody.tree.still():
            store.replace(kind, name, pending.record.encode(), replaces=old_record.digest)
            custody.change(replace(custody.description, pending=None))
        logger.info("the key of %s was changed; %s records looked at", name, self.progress.done)

    def _back_up(self) -> None:
        """The generations that there are open with the old vault key alone."""
        try:
            self._custody.backups.make(dt.datetime.now(dt.UTC).date())
        except (FupanError, VaultError, OSError) as error:
            logger.error("the new keys are not backed up yet: %s", error)

    def _require_whole(self) -> None:
        """Both keys stay while a record is damaged: a backup of it opens under the old one alone."""
        if self.progress.damaged:
            raise DamagedRecordsError(self.progress.damaged)

    def _damaged(self, kind: str, key_id: str, error: IntegrityError) -> None:
        self.progress.damaged += 1
        logger.error("%s %s is left as it is: %s", kind, key_id, error)


def _opens(record: KeyRecord, key: bytes) -> bool:
    try:
        unwrap(key, record)
    except IntegrityError:
        return False
    return True
