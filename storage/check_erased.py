"""A check of keys by the erase ledger: what it names is no damage; what is gone without it is lost."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from storage.check_store import Finding
from storage.errors import StoreDown
from storage.files import Vault
from storage.keystore import KeyStore
from storage.ledger_format import Chain

DETAIL = "the erase ledger names it: nothing is given under it, and the next unlock removes it"


def name_erased(findings: Iterable[Finding], store: KeyStore, chain: Chain) -> list[Finding]:
    """The findings, with each key record that was erased and is there named as that, whole or half
    overwritten; so is damage to the sealed files of an erased recording or person, which open no more."""
    left = {
        str(store.path(kind, key_id))
        for kind in ("recording", "person", "day")
        for key_id in store.list(kind)
        if (kind, key_id) in chain.destroyed
    }
    owners = {key_id for kind, key_id in chain.destroyed if kind != "day"}
    named = []
    for each in findings:
        if each.file is not None and str(each.file.owner) in owners:
            named.append(Finding(each.path, "erased", DETAIL, each.file))
        elif str(each.path) not in left:
            named.append(each)
    return named + [Finding(path, "erased", DETAIL) for path in sorted(left)]


def without_key(vault: Vault, store: KeyStore) -> list[str]:
    """The recordings and persons that have sealed files and no key record.

    Ask before the ledger is read: whoever seals makes the key first, and whoever erases writes the entry
    before the key goes. A tier that cannot be looked at is another finding's matter.
    """
    owners: list[str] = []
    with contextlib.suppress(StoreDown):
        owners += map(str, vault.recordings())
    kept = {key_id for kind in ("recording", "person") for key_id in store.list(kind)}
    return [owner for owner in owners if owner not in kept]


def missing_keys(keyless: Iterable[str], store: KeyStore, chain: Chain) -> Iterator[Finding]:
    """Of those without a key record, whose nobody erased: nobody can open their sealed files."""
    erased = {key_id for kind, key_id in chain.destroyed if kind != "day"}
    detail = "its sealed files open no more; fupan vault restore-keys puts it back from a backup of the keys"
    for owner in keyless:
        if owner not in erased:
            yield Finding(store.path("recording", owner), "no_key", detail)
