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


def missing_keys(vault: Vault, store: KeyStore, chain: Chain) -> Iterator[Finding]:
    """Whose sealed files nobody can open since their key record is gone, though no erasure names it.

    A tier that cannot be looked at is another finding's matter.
    """
    kept = {key_id for kind in ("recording", "person") for key_id in store.list(kind)}
    kept |= {key_id for kind, key_id in chain.destroyed if kind != "day"}
    detail = "its sealed files open no more; fupan vault restore-keys puts it back from a backup of the keys"
    with contextlib.suppress(StoreDown):
        for owner in vault.recordings():
            if str(owner) not in kept:
                yield Finding(store.path("recording", str(owner)), "no_key", detail)
