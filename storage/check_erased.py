"""What a check found of keys that the erase ledger names: no damage, but what a crash or a restore left."""

from __future__ import annotations

from collections.abc import Iterable

from storage.check_store import Finding
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
