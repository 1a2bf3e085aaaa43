"""What can go wrong with stored bytes. Each error carries a short, stable `kind` for logs and messages."""

from __future__ import annotations


class VaultError(Exception):
    """Base of every expected failure of storage."""

    def __init__(self, kind: str, detail: str = "") -> None:
        self.kind, self.detail = kind, detail
        super().__init__(f"{kind}: {detail}" if detail else kind)


class IntegrityError(VaultError):
    """Stored bytes do not prove genuine; nothing of them was returned.

    kind: `header`, `version`, `size`, `last_segment`, `segment`, `wrong_place`, `replaced`, `record`, `key`,
    `generation`, `vault` (its description), `stranger` (no plain file, or behind a link). `segment` is the
    number of the one that was read, where known.
    """

    def __init__(self, kind: str, detail: str = "", segment: int | None = None) -> None:
        self.segment = segment
        super().__init__(kind, detail)


class BadOpening(VaultError):
    """An opening that cannot be accepted.

    kind: `magic`, `length`, `field`, `suite`, `signature`, `recipient`, `unwrap`, `commitment`.
    """


class JournalConflict(VaultError):
    """A journal already holds something else in this place. kind: `opening`, `chunk`, `end`."""


class VaultFull(VaultError):
    """No room. kind: `limit` (this journal's own) or `disk`. Nothing was written."""


class StoreDown(VaultError):
    """A disk or a store that cannot serve now: nothing was changed, and later it may be well again.

    kind: `unreachable`, `failing` (it answers with faults of its own), `refused` (the access key), `missing`
    (no such bucket, or a disk that is not there), `read_only`. `detail` is one line that says what to mend.
    """


class NotFound(VaultError):
    """There is no such file, record or chunk."""


class Destroyed(VaultError):
    """A key that was erased is not made again."""


class SegmentEmitted(VaultError):
    """A write into a segment that is encrypted already; a segment is encrypted exactly once."""


class LedgerError(VaultError):
    """An erase ledger that cannot be believed; nothing is erased or unlocked by it.

    kind: `line`, `version`, `foreign`, `forged`, `gap`, `order`, `forked` (two histories), `short` (more is
    known than is there), `key` (its key is missing), `changed` (under our hands), `head` (no head).
    """


class SelfTestFailed(VaultError):
    """A known answer came out wrong: nothing may be sealed or opened here. `kind` names the answer."""


class ShareError(VaultError):
    """A share that cannot be used.

    kind: `mistyped`, `version`, `other_vault`, `old_set`, `pending_set`, `not_issued`, `given_already`,
    `wrong_key`, `too_few`; `policy` for numbers that no set of shares can have; `not_for_me` for what is
    encrypted to another key.
    """
