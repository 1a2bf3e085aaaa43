"""A key record that the ledger names, whole or half overwritten, is no damage; all else stays what it is."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from storage.check import check_keys
from storage.check_erased import name_erased
from storage.check_store import Finding
from storage.keys import new_key, wrap
from storage.keystore import KeyStore
from storage.layout import Place
from storage.ledger_format import ERASE, Chain, erase_body, make_entry
from tests.storage.test_ledger import KEY, VAULT


def test_what_the_ledger_names_is_told_apart_from_damage(tmp_path: Path) -> None:
    store, under = KeyStore(tmp_path), new_key()
    person, *recordings = (uuid.UUID(int=number) for number in range(1, 5))
    for kind, key_id in (("person", person), *(("recording", each) for each in recordings)):
        record = wrap(under, kind=kind, key_id=str(key_id), parent="vault", key=new_key())
        store.put(kind, str(key_id), record)
    whole, torn, damaged = (store.path("recording", str(each)) for each in recordings)
    for path in (torn, damaged):  # killed while it was overwritten; and a bad disk
        path.write_bytes(os.urandom(40) + path.read_bytes()[40:])
    chain, ids = Chain(), [uuid.UUID(int=9), uuid.UUID(int=10)]
    chain.add(make_entry(chain, VAULT, ERASE, erase_body(*ids, person, recordings[:2], []), KEY.sign))
    file = Finding("x.fps", "header", file=Place(recordings[0], "track", "camera"))
    found = name_erased([*check_keys(tmp_path), file], store, chain)
    told = {(str(each.path), each.kind, each.harmless) for each in found}
    assert told == {
        (str(damaged), "key", False),
        (str(torn), "erased", True),
        (str(whole), "erased", True),
        (str(store.path("person", str(person))), "erased", True),
        ("x.fps", "erased", True),
    }
