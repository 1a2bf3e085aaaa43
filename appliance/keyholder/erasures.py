"""The keyholder's erase ledger: settled before any unlock, written before any key record is destroyed.

Whatever is restored, and from whichever day: an unlock demands a ledger that is no shorter than the newest
head known (the other copy, intake's tombstones, this keyholder's journal, what a person brings on paper), and
destroys again every key record that it names. Nothing that it names is given or made from then on.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import logging
import os
import threading
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance import packet
from appliance.config import Settings
from appliance.durable import StrangeFileError, read_plain
from appliance.errors import LedgerRefusedError, VaultLockedError
from appliance.keyholder.journal import Journal
from appliance.keyholder.service_keys import ServiceKeys
from appliance.keyholder.vault_key import VaultKey
from storage.vault import (
    DAY_KEY,
    EMPTY,
    ERASE,
    KEY_ID,
    LEDGER_NAME,
    Chain,
    Entry,
    Head,
    IntegrityError,
    KeyStore,
    Known,
    Ledger,
    LedgerError,
    NotFound,
    StoreDown,
    VaultFull,
    erase_body,
    ledger_exists,
    newest_chain,
)

# The newest ones have seen the newest heads; a seized intake can make an unlock read no more than these.
TOMBSTONES = 10_000

logger = logging.getLogger(__name__)


class Erasures:
    """One vault's erase ledger. Safe across threads.

    `problem` says why the last unlock was refused, for whoever looks at the site's health.
    """

    def __init__(
        self,
        settings: Settings,
        vault_id: uuid.UUID,
        store: KeyStore,
        vault_key: VaultKey,
        services: ServiceKeys,
        journal: Journal,
    ) -> None:
        self._vault_id, self._store, self._vault_key = vault_id, store, vault_key
        self._services, self._journal = services, journal
        self._tombstones = settings.intake_folder / "tombstones"
        self.copies = (settings.keys_folder / LEDGER_NAME, settings.vault_folder / LEDGER_NAME)
        self.problem = ""
        self._guard = threading.RLock()
        self._ledger: Ledger | None = None
        self._as_filed: tuple[list[int], Chain] | None = None
        self._expected: Known | None = None

    @property
    def public(self) -> bytes | None:
        """The ledger key's public half (32 bytes), by which entries and certificates are checked."""
        try:
            return self._store.get("service", KEY_ID).public
        except (NotFound, IntegrityError):
            return None

    @property
    def head(self) -> Head:
        """How far the ledger goes; before the first unlock as the files say, which counts for no proof."""
        with self._guard:
            return self._present().head

    def lines(self) -> bytes:
        """The whole ledger, for a backup of the keys."""
        with self._guard:
            return self._present().lines_after(0)

    def is_destroyed(self, kind: str, key_id: str) -> bool:
        """Whether this key was erased: its record must neither be made nor given, should it be there."""
        with self._guard:
            return self._ledger is not None and (kind, key_id) in self._ledger.chain.destroyed

    @property
    def named(self) -> frozenset[tuple[str, str]]:
        """Kind and id of each key that was erased until now; before the first unlock as the files say, which
        counts for no proof: for what is copied and written down meanwhile."""
        with self._guard:
            return frozenset(self._present().destroyed)

    def chain(self) -> Chain:
        """What has been erased. Raises VaultLockedError before the first unlock."""
        with self._guard:
            if self._ledger is None:
                raise VaultLockedError
            return self._ledger.chain

    def expect(self, known: Known) -> None:
        """Demand this head as well, in place of one that was brought before: at the next unlock, or at once
        when the vault is unlocked. Raises LedgerRefusedError; then the vault is to be locked."""
        with self._guard:
            self._expected = known
            if not self._vault_key.locked and self._ledger is not None:
                with self._told():
                    self._ledger.chain.require([known])

    def settle(self, vault_key: VaultKey) -> None:
        """Before an unlock: prove the ledger and destroy again what it names. `vault_key` holds the proven
        key that nobody else has yet.

        Raises LedgerRefusedError, naming what is missing or wrong; then nothing was changed.
        """
        with self._guard, self._told():
            known = list(self._known())
            ledger = Ledger(self.copies, self._vault_id, self._ledger_key(vault_key, known))
            try:
                ledger.settle(known)
            except (OSError, VaultFull, StoreDown) as error:
                if not ledger.proven:
                    raise
                logger.error("a copy of the erase ledger cannot be made good, so erasing waits: %s", error)
            else:
                self._destroy_again(ledger.chain)
            self._ledger = ledger
            self._expected = None

    def erase(
        self,
        mark: uuid.UUID,
        event: uuid.UUID,
        person: uuid.UUID | None,
        recordings: Iterable[uuid.UUID],
        kept: Iterable[uuid.UUID],
    ) -> Entry:
        """Write that a mark's keys are destroyed, then destroy them; repeated, only what is left of it.

        Raises VaultLockedError, LedgerError, VaultFull; then the entry may be there, and a repeat goes on.
        """
        with self._guard:
            entry = self._current().of_mark(mark)
            if entry is None:
                entry = self._append(ERASE, erase_body(mark, event, person, recordings, kept))
            self._destroy(entry)
            return entry

    def note_day_key(self, day: str) -> None:
        """Write that a day key is destroyed, before its record goes; once for each."""
        with self._guard:
            if ("day", day) not in self._current().destroyed:
                self._append(DAY_KEY, {"day": day})

    def sign(self, message: bytes) -> bytes:
        """A signature by the ledger key (64 bytes). Raises VaultLockedError."""
        private = self._vault_key.unwrap(self._store.get("service", KEY_ID))
        return Ed25519PrivateKey.from_private_bytes(private).sign(message)

    # --- inside --------------------------------------------------------------------------------------------

    def _present(self) -> Chain:
        """What is proven; before the first unlock, what the files say."""
        if self._ledger is not None:
            return self._ledger.chain
        version = [path.stat().st_mtime_ns if path.exists() else 0 for path in self.copies]
        if self._as_filed is None or self._as_filed[0] != version:
            public = self.public
            filed = Chain() if public is None else newest_chain(self.copies, self._vault_id, public)
            self._as_filed = version, filed
        return self._as_filed[1]

    def _current(self) -> Chain:
        """What is in both copies. Raises VaultLockedError before the first unlock, and as an append does."""
        if self._ledger is None:
            raise VaultLockedError
        return self._ledger.current()

    def _append(self, kind: str, body: dict[str, Any]) -> Entry:
        assert self._ledger is not None
        entry = self._ledger.append(kind, body, self.sign)
        self._journal.append({"op": "ledger", "ledger": str(self._ledger.chain.head)})
        return entry

    def _destroy(self, entry: Entry) -> None:
        for kind, key_id in entry.destroyed:
            self._store.destroy(kind, key_id)

    def _destroy_again(self, chain: Chain) -> None:
        """What a restore brought back, or a crash left."""
        for kind in ("recording", "person", "day"):
            for key_id in self._store.list(kind):
                if (kind, key_id) in chain.destroyed and self._store.destroy(kind, key_id):
                    logger.warning("%s %s was erased before and is destroyed again", kind, key_id)

    def _ledger_key(self, vault_key: VaultKey, known: Iterable[Known]) -> bytes:
        """The public half, proven by its record; made once, where nothing was ever erased."""
        try:
            kept = self._store.get("service", KEY_ID)
        except NotFound:
            heads = [each for each in known if each.head.count]
            if heads or ledger_exists(self.copies):
                path = self._store.path("service", KEY_ID)
                raise LedgerError("key", f"{path} is missing although entries exist; restore it") from None
            pair = Ed25519PrivateKey.generate()
            public, secret = pair.public_key().public_bytes_raw(), pair.private_bytes_raw()
            vault_key.keep(self._store, "service", KEY_ID, secret, public)
            return public
        vault_key.unwrap(kept)
        if kept.public is None or len(kept.public) != 32:
            raise IntegrityError("key", "the ledger key has no public half")
        return kept.public

    def _known(self) -> Iterator[Known]:
        if self._expected is not None:
            yield self._expected
        for entry in self._journal.entries():
            if entry.get("op") == "ledger":
                yield Known("this keyholder's journal", Head.parse(entry["ledger"]))
        yield from self._known_at_intake()

    def _known_at_intake(self) -> Iterator[Known]:
        """The newest head that a tombstone at intake states; what is not signed by us counts for nothing."""
        trusted = self._services.publics()
        claims = map(_claimed, _newest_files(self._tombstones, TOMBSTONES))
        stated = sorted(claims, key=lambda each: each[1].count, reverse=True)
        for raw, head in stated:
            if head == EMPTY:
                return
            with contextlib.suppress(packet.PacketError):
                statement = packet.open_envelope(raw, trusted, "tombstone")
                if statement["vault"] == str(self._vault_id):
                    yield Known("a tombstone at intake", head)
                    return

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what is wrong with the ledger into the error for people, and keep it as the `problem`."""
        self.problem = ""
        try:
            yield
        except (LedgerError, IntegrityError, OSError) as error:
            self.problem = str(error)
            logger.error("the erase ledger: %s", error)
            raise LedgerRefusedError(what=error) from error


def expected(text: str, publics: dict[str, bytes]) -> Known:
    """What a person brings: `count:head` from a printed page, or the text of a signed checkpoint.

    Raises LedgerError for what is neither, and for a checkpoint that states no ledger.
    """
    if not text.lstrip().startswith("{"):
        return Known("the page", Head.parse("".join(text.split()).lower()))
    try:
        statement = packet.open_envelope(text.strip().encode(), publics, "checkpoint")
        return Known("the checkpoint", Head(*packet.ledger_of(statement)))
    except packet.PacketError as error:
        raise LedgerError("head", f"not a checkpoint of this vault: {error.kind}") from error


def _newest_files(folder: Path, limit: int) -> list[bytes]:
    try:
        with os.scandir(folder) as found:
            files = ((each.stat().st_mtime, each.path) for each in found if each.is_file())
            newest = heapq.nlargest(limit, files)
    except FileNotFoundError:
        return []
    contents = []
    for _, path in newest:
        with contextlib.suppress(FileNotFoundError, StrangeFileError):
            contents.append(read_plain(Path(path), packet.MAX_ENVELOPE_BYTES))
    return contents


def _claimed(raw: bytes) -> tuple[bytes, Head]:
    """What an envelope claims, before anybody has looked at its signature."""
    try:
        return raw, Head(*packet.ledger_of(json.loads(json.loads(raw)["statement"])))
    except (ValueError, KeyError, TypeError, RecursionError, packet.PacketError):
        return raw, EMPTY
