"""The erase ledger as files: two copies, so that neither a restore of the keys nor one of the media goes back
behind an erasure. `ledger_format` has the bytes.

An entry is in both copies, on disk, before what it names is destroyed.
"""

from __future__ import annotations

import contextlib
import os
import stat
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from storage import disk
from storage.errors import IntegrityError, LedgerError, VaultFull
from storage.ledger_format import MAX_LEDGER_BYTES, Chain, Entry, Known, make_entry, parse_ledger

LEDGER_NAME = "ledger"


class Ledger:
    """Two copies of one ledger. Not safe across threads: its one writer has a lock of its own."""

    def __init__(self, copies: Sequence[Path], vault_id: uuid.UUID, public: bytes) -> None:
        """`copies`: the files, that beside the keys first; `public`: of the ledger key, 32 bytes."""
        self._copies, self._vault_id, self._public = tuple(copies), vault_id, public
        self._chain: Chain | None = None
        self._settled = False

    @property
    def chain(self) -> Chain:
        """What is proven. Once it is, this writes nothing: a disk that takes no entry stops no reading."""
        return self._chain if self._chain is not None else self.settle()

    @property
    def proven(self) -> bool:
        """Whether the copies were compared and believed, though one may still lack an entry."""
        return self._chain is not None

    def current(self) -> Chain:
        """What is proven, in both copies: settled first where a write failed since."""
        return self.chain if self._settled else self.settle()

    def settle(self, known: Iterable[Known] = ()) -> Chain:
        """Compare the copies, take over the longer one, and demand that it is no shorter than what is known.

        What a crash left is tidied: a torn last line is cut, a copy that lacks the last entry gets it. Raises
        LedgerError, or IntegrityError("stranger") for no plain file, naming the copy and what is wrong; then
        nothing was changed. Raises VaultFull, StoreDown, OSError where a copy cannot be made good: what is
        proven is known all the same.
        """
        self._settled, self._chain = False, None
        found = [(path, self._read(path)) for path in self._copies]
        longest = max((chain for _, chain in found), key=lambda chain: len(chain.entries))
        for path, chain in found:
            count = len(chain.entries)
            if longest.heads[count] != chain.heads[-1]:
                raise LedgerError("forked", f"{path}: its entry {count} is another than in the other copy")
        longest.require(known)
        self._chain = longest
        for path, chain in found:
            missing = longest.lines_after(len(chain.entries))
            if chain.torn or missing:
                self._write(path, chain.size, missing, torn=chain.torn)
        longest.torn = 0
        self._settled = True
        return longest

    def append(
        self,
        kind: str,
        body: Mapping[str, Any],
        sign: Callable[[bytes], bytes],
        at: datetime | None = None,
    ) -> Entry:
        """Write one entry, lasting in both copies when this returns. After an error the next call finds out
        whether it is there. Raises LedgerError, VaultFull, IntegrityError."""
        chain = self.current()
        entry = make_entry(chain, self._vault_id, kind, body, sign, at)
        if chain.size + len(entry.line) + 1 > MAX_LEDGER_BYTES:  # nobody could read it any more
            raise VaultFull("limit", f"{MAX_LEDGER_BYTES} bytes of the erase ledger")
        self._settled = False
        for path in self._copies:
            self._write(path, chain.size, entry.line + b"\n")
        chain.add(entry)
        self._settled = True
        return entry

    def _read(self, path: Path) -> Chain:
        try:
            data = disk.read_plain(path, MAX_LEDGER_BYTES)
        except FileNotFoundError:
            return Chain()
        try:
            return parse_ledger(data, self._vault_id, self._public)
        except LedgerError as error:
            raise LedgerError(error.kind, f"{path}: {error.detail}") from None

    @staticmethod
    def _write(path: Path, end: int, lines: bytes, torn: int = 0) -> None:
        with disk.locked_file(path, create=True, exclusive=True) as fd:
            if os.fstat(fd).st_size != end + torn:
                raise LedgerError("changed", f"{path} was changed by somebody else")
            try:
                os.ftruncate(fd, end)
                disk.write_at(fd, [lines], end)
                disk.sync_data(fd)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.ftruncate(fd, end)
                raise
        disk.sync_folder(path.parent)


def newest_chain(copies: Iterable[Path], vault_id: uuid.UUID, public: bytes) -> Chain:
    """The longest copy that can be read, for what is stated or backed up while the vault is locked.

    One that cannot be believed counts for nothing here; it is named at the unlock.
    """
    chains = [Chain()]
    for path in copies:
        with contextlib.suppress(OSError, LedgerError, IntegrityError):
            chains.append(parse_ledger(disk.read_plain(path, MAX_LEDGER_BYTES), vault_id, public))
    return max(chains, key=lambda chain: chain.head.count)


def ledger_exists(copies: Iterable[Path]) -> bool:
    """Whether any copy holds a byte, or is no plain file: one may have been in its place."""
    return any(map(_may_hold, copies))


def _may_hold(path: Path) -> bool:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(status.st_mode) or status.st_size > 0
