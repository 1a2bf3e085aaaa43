"""Every parser of storage, with examples of what it reads: what `tests.promises` sends mutants of."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from storage.check import check_journal
from storage.errors import IntegrityError, NotFound
from storage.generations import SUFFIX, prove_generation, write_generation
from storage.head_format import head_start, parse_head
from storage.journal import Journal
from storage.keys import new_key, unwrap, wrap
from storage.keystore import KeyStore
from storage.ledger_format import ERASE, Chain, erase_body, make_entry, parse_ledger
from storage.opening import open_epoch_key, parse_opening, verify_opening
from storage.segment_format import layout_of, parse_header
from storage.shares import ShareSet, split
from storage.shares import parse as parse_share
from storage.slots import Description, Reshare, new_slot, parse_description, vault_check
from storage.stream import EpochReader
from tests.storage import builders, make_vectors

DAY = dt.date(2026, 11, 22)


@dataclass(frozen=True)
class Parser:
    """What reads one format: good and bad examples, and a reading whose result must be one of `genuine`."""

    corpus: list[bytes]
    read: Callable[[bytes], object]
    genuine: set[object]


def _vectors(name: str) -> Any:
    return json.loads((make_vectors.FOLDER / name).read_text(encoding="utf-8"))


def _sealed_vectors() -> list[dict[str, str]]:
    return [*_vectors("version_1.json")["sealed"], *_vectors("suite_2.json")]


def _header(_folder: Path) -> Parser:
    def read(data: bytes) -> object:
        header = parse_header(data)
        layout_of(header, 10_000)
        return header.raw == data[: len(header.raw)]

    return Parser([bytes.fromhex(v["data"])[:120] for v in _sealed_vectors()], read, {True})


def _sealed_file(folder: Path) -> Parser:
    vectors, path = _sealed_vectors(), folder / "sealed"

    def read(data: bytes) -> object:
        path.write_bytes(data)
        return builders.open_whole(path)

    genuine = {bytes.fromhex(v["plaintext"]) for v in vectors if "plaintext" in v}
    # Most of the others are one good file that was damaged: what a change puts right again is genuine too.
    damaged = [bytes.fromhex(v["data"]) for v in vectors if v["name"] == "header damaged at 0"]
    genuine |= {read(bytes([data[0] ^ 1]) + data[1:]) for data in damaged}
    return Parser([bytes.fromhex(v["data"]) for v in vectors], read, genuine)


def _key_record(_folder: Path) -> Parser:
    vectors = _vectors("key_records.json")
    genuine = {v["key"] for v in vectors if "key" in v}
    records = [v["record"].encode("latin-1") for v in vectors]
    return Parser(records, lambda data: unwrap(make_vectors.PARENT, data).hex(), genuine)


def _opening(_folder: Path) -> Parser:
    vectors = _vectors("openings.json")
    day_private = bytes.fromhex(vectors[0]["day_private"])

    def read(data: bytes) -> object:
        opening = parse_opening(data)
        verify_opening(opening)
        return open_epoch_key(day_private, opening).hex()

    genuine = {v["epoch_key"] for v in vectors if "epoch_key" in v}
    return Parser([bytes.fromhex(v["opening"]) for v in vectors], read, genuine)


def _journal(folder: Path) -> Parser:
    vectors, path = _vectors("journals.json"), folder / "journal"
    epoch, opening, key = (bytes.fromhex(vectors[0][name]) for name in ("epoch", "opening", "epoch_key"))
    plaintexts = vectors[0]["opens"]
    path.write_bytes(bytes.fromhex(vectors[0]["journal"]))
    payloads = {Journal(path).read(epoch, n) for n in range(5)}

    def read(data: bytes) -> object:
        path.write_bytes(data)
        assert {finding.kind for finding in check_journal(path, full=True)} <= {"record", "torn_tail"}
        journal = Journal(path)
        for n in range(5):
            with contextlib.suppress(NotFound, IntegrityError):
                assert journal.opening(epoch) == opening
                assert journal.read(epoch, n) in payloads
        with EpochReader(path, epoch, key, opening) as reader:
            return all(plaintexts[str(n)] == plaintext.hex() for n, plaintext in reader.iter_chunks())

    return Parser([bytes.fromhex(v["journal"]) for v in vectors], read, {True})


def _description(_folder: Path) -> Parser:
    vault_key, slot_key = new_key(), new_key()
    descriptions = []
    for suite in (1, 2):
        shares = ShareSet(3, 2, (bytes(32), bytes(range(32))))
        slots = [
            new_slot("file", builders.VAULT, slot_key, vault_key, suite),
            new_slot("shares", builders.VAULT, slot_key, vault_key, suite, shares=shares),
        ]
        check = vault_check(builders.VAULT, vault_key)
        made = Description(builders.VAULT, "2026-01-01T00:00:00.000Z", check, suite, 3, tuple(slots))
        pending = dataclasses.replace(made, pending=Reshare(slots[1], slots[0].id))
        descriptions += [made.sealed(vault_key), pending.sealed(vault_key)]

    def read(data: bytes) -> object:
        parse_description(data).require(vault_key)
        return data

    encoded = [made.encode() for made in descriptions]
    return Parser(encoded, read, set(encoded))


def _share(_folder: Path) -> Parser:
    shares = split(builders.VAULT, 7, 2, 3, new_key())
    texts = [share.text().encode() for share in shares]
    return Parser(texts, lambda data: parse_share(data.decode("latin-1")), set(shares))


def _chain() -> tuple[Chain, bytes]:
    """An erase ledger of three entries, and the public half of its key."""
    key, chain = Ed25519PrivateKey.generate(), Chain()
    for number in range(3):
        mark, event, person, *recordings = (uuid.UUID(int=100 * number + i) for i in range(5))
        body = erase_body(mark, event, person, recordings, [])
        chain.add(make_entry(chain, builders.VAULT, ERASE, body, key.sign))
    return chain, key.public_key().public_bytes_raw()


def _ledger(_folder: Path) -> Parser:
    chain, public = _chain()
    whole = chain.lines_after(0)

    def read(data: bytes) -> object:
        found = parse_ledger(data, builders.VAULT, public)
        return whole.startswith(found.lines_after(0))

    return Parser([whole, whole[:-1], chain.lines_after(1)], read, {True})


def _generation(folder: Path) -> Parser:
    store, (chain, _public) = KeyStore(folder / "keys"), _chain()
    for number in range(3):
        name = str(uuid.UUID(int=number))
        record = wrap(make_vectors.PARENT, kind="recording", key_id=name, parent="p", key=new_key())
        store.put("recording", name, record)
    proven, _ = write_generation(folder, DAY, builders.VAULT, store, chain.lines_after(0), b"{}")
    path = folder / f"{DAY}{SUFFIX}"

    def read(data: bytes) -> object:
        path.write_bytes(data)
        return prove_generation(path)

    return Parser([path.read_bytes()], read, {proven})


def _track_head(_folder: Path) -> Parser:
    headers = [builders.header(suite=suite) for suite in (1, 2)]
    heads = [head_start(header, 1000) + bytes(range(200)) for header in headers]

    def read(data: bytes) -> object:
        found = parse_head(data)
        return head_start(found.header, found.size) + found.first == data

    return Parser(heads, read, {True})


PARSERS: dict[str, Callable[[Path], Parser]] = {
    "header": _header,
    "sealed file": _sealed_file,
    "key record": _key_record,
    "opening": _opening,
    "journal": _journal,
    "vault description": _description,
    "share": _share,
    "erase ledger": _ledger,
    "key backup": _generation,
    "track head": _track_head,
}
