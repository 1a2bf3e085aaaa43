"""How the stage of erasing asks the keyholder; every failure is a typed error, as in client.py."""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from appliance.keyholder.client import Keyholder


@dataclass(frozen=True)
class Due:
    """What the keyholder would erase now, by mark, as an order must state it; and how many marks wait to be
    confirmed because it would be too much for one day."""

    orders: dict[uuid.UUID, dict[str, Any]]
    waiting: int


@dataclass(frozen=True)
class Erased:
    """One erasure, as its entry on the ledger says."""

    seq: int
    at: dt.datetime
    mark: uuid.UUID
    person: uuid.UUID | None
    recordings: tuple[uuid.UUID, ...]
    kept: tuple[uuid.UUID, ...]


class ErasingKeyholder(Keyholder):
    """The keyholder's side of erasures."""

    def heed_erasures(self) -> int:
        """Have it read what is new of marks and holds, and write it down. Raises DatabaseDoubtfulError."""
        return int(self.ask("heed_erasures"))

    def lost_holds(self) -> dict[uuid.UUID, uuid.UUID]:
        """Holds that count though a restore took their rows, and the person or recording under each."""
        return {uuid.UUID(hold): uuid.UUID(kept) for hold, kept in self.ask("lost_holds").items()}

    def due_erasures(self) -> Due:
        """What is due. Raises VaultLockedError, DatabaseDoubtfulError."""
        found = self.ask("due_erasures")
        return Due({uuid.UUID(each["mark"]): each for each in found["due"]}, found["waiting"])

    def erase(self, mark: uuid.UUID, event_id: uuid.UUID) -> Erased:
        """Destroy the keys that a mark leads to, by a committed order. Repeating it goes on where it ended.

        Raises VaultLockedError, KeyRefusedError, DatabaseDoubtfulError, StorageFullError.
        """
        return _erased(self.ask("erase", mark=str(mark), event=str(event_id)))

    def erased(self, after: int = 0) -> Iterator[Erased]:
        """Every erasure on the ledger behind an entry's number, in order. Raises VaultLockedError."""
        while found := self.ask("erased", after=after):
            for each in map(_erased, found):
                after = each.seq
                yield each

    def erasure(self, mark: uuid.UUID) -> Erased | None:
        """What a mark led to, if anything. Raises VaultLockedError."""
        return next(map(_erased, self.ask("erased", mark=str(mark))), None)

    def erasure_certificate(self, mark: uuid.UUID) -> dict[str, str]:
        """The signed envelope. Raises VaultLockedError, KeyRefusedError where nothing was erased."""
        return dict(self.ask("erasure_certificate", mark=str(mark)))


def key_fingerprint(public: bytes) -> str:
    """What people compare: the hex SHA-256 of a public key (32 bytes), in groups of four."""
    text = hashlib.sha256(public).hexdigest()
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def _erased(told: Mapping[str, Any]) -> Erased:
    return Erased(
        told["seq"],
        dt.datetime.fromisoformat(told["at"]),
        uuid.UUID(told["mark"]),
        uuid.UUID(told["person"]) if told["person"] else None,
        tuple(map(uuid.UUID, told["recordings"])),
        tuple(map(uuid.UUID, told["kept"])),
    )
