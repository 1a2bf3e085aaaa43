"""A key record that the ledger names, whole or half overwritten, is no damage; all else stays what it is."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.check import check_keys
from storage.check_erased import missing_keys, name_erased, without_key
from storage.check_store import Finding
from storage.keys import new_key, wrap
from storage.keystore import KeyStore
from storage.layout import Place
from storage.ledger_format import ERASE, Chain, erase_body, make_entry
from storage.segment_format import new_header
from storage.vault import Vault
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


def test_what_is_sealed_or_erased_meanwhile_lacks_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check runs beside the site: only what was lost is told."""
    vault, store, under = Vault(tmp_path / "vault"), KeyStore(tmp_path / "keys"), new_key()
    lost, erased, new = (uuid.UUID(int=number) for number in range(1, 4))
    chain = Chain()

    def make(owner: uuid.UUID) -> None:
        store.put(
            "recording",
            str(owner),
            wrap(under, kind="recording", key_id=str(owner), parent="vault", key=new_key()),
        )
        header = new_header(VAULT, owner, "document", "transcript")
        vault.write_document(owner, "transcript", header, new_key(), b"what was said")

    def listed() -> Iterator[uuid.UUID]:
        yield from recordings()
        make(new)
        entry = make_entry(chain, VAULT, ERASE, erase_body(new, new, None, [erased], []), KEY.sign)
        chain.add(entry)
        store.destroy("recording", str(erased))

    make(lost)
    make(erased)
    store.path("recording", str(lost)).unlink()
    recordings = vault.recordings
    monkeypatch.setattr(vault, "recordings", listed)
    keyless = without_key(vault, store)
    assert keyless == [str(lost), str(erased)]
    assert [each.path for each in missing_keys(keyless, store, chain)] == [store.path("recording", str(lost))]
