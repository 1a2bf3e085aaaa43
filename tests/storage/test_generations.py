"""Generations of key backups: written whole, read back, refused when they are not, and put back."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import os
import random
import uuid
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from storage import disk
from storage.errors import IntegrityError, LedgerError, NotFound, VaultFull
from storage.generations import (
    Generation,
    Restored,
    generations,
    prove_generation,
    prune_generations,
    restore_generation,
    write_generation,
)
from storage.keys import new_key, wrap
from storage.keystore import KeyStore
from storage.ledger import Ledger
from storage.ledger_format import ERASE, KEY_ID, Chain, erase_body, make_entry

VAULT, PARENT = uuid.UUID(int=5), bytes(range(32))
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
PUBLIC = SIGNER.public_key().public_bytes_raw()
DAY = dt.date(2026, 7, 14)
DESCRIPTION = b'{"vault":"x"}'
R1, R2, R3, P1 = (str(uuid.UUID(int=number)) for number in range(1, 5))


def record(kind: str, key_id: str, public: bytes | None = None) -> bytes:
    return wrap(PARENT, kind=kind, key_id=key_id, parent=str(VAULT), key=new_key(), public=public)


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    made = KeyStore(tmp_path / "keys")
    for kind, key_id in (("day", "2026-07-14"), ("recording", R1), ("recording", R2), ("person", P1)):
        made.put(kind, key_id, record(kind, key_id))
    made.put("service", KEY_ID, record("service", KEY_ID, PUBLIC))
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def chain_of(*recordings: str) -> Chain:
    chain = Chain()
    for number, each in enumerate(recordings):
        body = erase_body(uuid.UUID(int=number), uuid.UUID(int=9), None, [uuid.UUID(each)], [])
        chain.add(make_entry(chain, VAULT, ERASE, body, SIGNER.sign))
    return chain


def write(folder: Path, store: KeyStore, day: dt.date = DAY, chain: Chain | None = None) -> Path:
    write_generation(folder, day, VAULT, store, (chain or Chain()).lines_after(0), DESCRIPTION)
    return folder / f"{day}.keys"


def test_what_is_written_is_read_back(folder: Path, store: KeyStore) -> None:
    store.path("recording", R2).write_bytes(b"damaged")
    proven, damaged = write_generation(folder, DAY, VAULT, store, b"", DESCRIPTION)
    assert damaged == [("recording", R2)]
    assert proven == prove_generation(folder / "2026-07-14.keys")
    assert (proven.vault_id, proven.description) == (VAULT, DESCRIPTION)
    assert proven.names == {
        ("day", "2026-07-14"),
        ("recording", R1),
        ("person", P1),
        ("service", KEY_ID),
    }
    assert (folder / "2026-07-14.keys").stat().st_mode & 0o777 == 0o600


def test_an_empty_store_makes_a_generation(folder: Path, tmp_path: Path) -> None:
    proven, _ = write_generation(folder, DAY, VAULT, KeyStore(tmp_path / "none"), b"", DESCRIPTION)
    assert proven.names == frozenset()


def test_every_cut_and_every_changed_byte_is_refused(folder: Path, store: KeyStore) -> None:
    path = write(folder, store, chain=chain_of(str(uuid.UUID(int=77))))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(IntegrityError):
            prove_generation(path)
    dice = random.Random(1)
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1 << dice.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(IntegrityError):
            prove_generation(path)
    path.write_bytes(whole + b"\n")
    with pytest.raises(IntegrityError):
        prove_generation(path)


def test_parts_that_are_moved_repeated_or_left_out_are_refused(folder: Path, store: KeyStore) -> None:
    """Also under an end that fits: a writer's fault is found as well."""
    path = write(folder, store, chain=chain_of(str(uuid.UUID(int=77))))
    head, description, ledger, *records, _end = path.read_bytes().splitlines(keepends=True)

    def refused(*lines: bytes, count: int | None = None) -> str:
        body = b"".join(lines)
        counted = sum(line.startswith(b"K ") for line in lines) if count is None else count
        path.write_bytes(body + b"E %d %s\n" % (counted, hashlib.sha256(body).hexdigest().encode()))
        with pytest.raises(IntegrityError) as caught:
            prove_generation(path)
        return caught.value.kind

    path.write_bytes(b"")
    with pytest.raises(IntegrityError, match="empty"):
        prove_generation(path)
    assert refused(head, ledger, *records) == "generation"
    assert refused(head, description, description, *records) == "generation"
    assert refused(head, description, records[0], ledger) == "generation"
    assert refused(head, description, records[0], records[0]) == "generation"
    assert refused(head, description, b"X odd\n") == "generation"
    assert refused(head, description, *records, count=1) == "generation"
    assert refused(head.replace(b'"version":1', b'"version":2'), description) == "version"
    assert refused(head.replace(b"fupan key backup", b"another thing"), description) == "generation"
    assert refused(head, description, b"K " + b"x" * (1 << 19) + b"\n") == "generation"


def test_a_generation_of_the_same_day_takes_the_place_of_the_earlier(folder: Path, store: KeyStore) -> None:
    first = write(folder, store)
    other = first.with_name("seen")
    other.hardlink_to(first)
    before = first.read_bytes()
    store.put("recording", R3, record("recording", R3))
    assert ("recording", R3) in prove_generation(write(folder, store)).names
    assert [each.name for each in folder.iterdir() if each != other] == ["2026-07-14.keys"]
    assert other.read_bytes() != before  # overwritten before its name went
    assert len(other.read_bytes()) == len(before)


def test_a_failed_one_leaves_the_earlier(
    folder: Path, store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(folder, store)
    before = path.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(disk, "write_at", lambda *_: (_ for _ in ()).throw(VaultFull("disk")))
        with pytest.raises(VaultFull):
            write(folder, store)
    with monkeypatch.context() as patched:
        patched.setattr(
            "storage.generations.parse_record", lambda _: (_ for _ in ()).throw(ValueError("bad"))
        )
        with pytest.raises(IntegrityError, match="generation"):
            write(folder, store)
    assert [each.name for each in folder.iterdir()] == ["2026-07-14.keys"]
    assert path.read_bytes() == before


def test_seven_are_kept_and_never_none(folder: Path, store: KeyStore) -> None:
    for days in range(10):
        write(folder, store, DAY + dt.timedelta(days=days))
    (folder / "notes.keys").write_bytes(b"")
    (folder / "2026-7-1.keys").write_bytes(b"")
    today = DAY + dt.timedelta(days=9)
    gone = prune_generations(folder, today, 7)
    assert [str(each.day) for each in gone] == ["2026-07-16", "2026-07-15", "2026-07-14"]
    assert [str(each.day) for each in generations(folder)] == [
        str(today - dt.timedelta(days=days)) for days in range(7)
    ]
    assert [str(each.day) for each in prune_generations(folder, today + dt.timedelta(days=99), 7)] == [
        str(today - dt.timedelta(days=days)) for days in range(1, 7)
    ]
    assert generations(folder) == [Generation(folder / f"{today}.keys", today)]


class TestRestore:
    @pytest.fixture
    def copies(self, tmp_path: Path) -> tuple[Path, Path]:
        return tmp_path / "keys" / "ledger", tmp_path / "vault" / "ledger"

    def test_into_nothing(self, folder: Path, store: KeyStore, tmp_path: Path) -> None:
        path = write(folder, store, chain=chain_of(str(uuid.UUID(int=77))))
        empty = KeyStore(tmp_path / "new")
        done = restore_generation(path, empty, [tmp_path / "new" / "ledger"], VAULT)
        assert done == Restored(records=5, kept=0, erased=0, ledger=True)
        for kind, key_id in prove_generation(path).names:
            assert empty.get(kind, key_id) == store.get(kind, key_id)
        assert restore_generation(path, empty, [tmp_path / "new" / "ledger"], VAULT) == Restored(
            records=0, kept=5, erased=0, ledger=False
        )

    def test_what_is_damaged_and_nothing_else(
        self, folder: Path, store: KeyStore, copies: tuple[Path, Path]
    ) -> None:
        path = write(folder, store)
        was = store.get("recording", R1)
        store.path("recording", R1).write_bytes(b"damaged")
        store.path("day", "2026-07-14").unlink()
        newer = record("person", P1)
        store.path("person", P1).write_bytes(newer)
        done = restore_generation(path, store, copies, VAULT)
        assert (done.records, done.kept) == (2, 3)
        assert store.get("recording", R1) == was
        assert store.get("person", P1).encode() == newer

    def test_never_what_was_erased_since(
        self, folder: Path, store: KeyStore, copies: tuple[Path, Path]
    ) -> None:
        erased = str(uuid.UUID(int=77))
        store.put("recording", erased, record("recording", erased))
        path = write(folder, store)
        book = Ledger(copies, VAULT, PUBLIC)
        entry = chain_of(erased).entries[0]
        book.append(entry.kind, entry.body, SIGNER.sign)
        store.destroy("recording", erased)
        longer = copies[0].read_bytes()
        done = restore_generation(path, store, copies, VAULT)
        assert (done.erased, done.ledger) == (1, False)
        assert erased not in store.list("recording")
        copies[0].unlink()  # the copy beside the media still knows
        assert restore_generation(path, store, copies, VAULT).erased == 1
        assert not copies[0].exists()
        assert copies[1].read_bytes() == longer

    def test_a_shorter_or_damaged_ledger_is_put_back(
        self, folder: Path, store: KeyStore, copies: tuple[Path, Path]
    ) -> None:
        chain = chain_of(str(uuid.UUID(int=77)), str(uuid.UUID(int=78)))
        path = write(folder, store, chain=chain)
        for present in (b"", chain.lines_after(0)[:400], b"nonsense\n"):
            copies[0].write_bytes(present)
            assert restore_generation(path, store, copies, VAULT).ledger
            assert copies[0].read_bytes() == chain.lines_after(0)
        assert not restore_generation(path, store, copies, VAULT).ledger

    def test_a_ledger_that_is_no_plain_file_is_not_waited_for(
        self, folder: Path, store: KeyStore, copies: tuple[Path, Path]
    ) -> None:
        chain = chain_of(str(uuid.UUID(int=77)))
        path = write(folder, store, chain=chain)
        copies[1].parent.mkdir()
        os.mkfifo(copies[1])
        copies[0].symlink_to("/dev/zero")
        assert restore_generation(path, store, copies, VAULT).ledger
        assert not copies[0].is_symlink()
        assert copies[0].read_bytes() == chain.lines_after(0)

    def test_two_histories_or_another_vault_change_nothing(
        self, folder: Path, store: KeyStore, copies: tuple[Path, Path]
    ) -> None:
        path = write(folder, store, chain=chain_of(str(uuid.UUID(int=77))))
        store.path("recording", R1).unlink()
        copies[0].write_bytes(chain_of(str(uuid.UUID(int=79))).lines_after(0))
        with pytest.raises(IntegrityError, match="two histories"):
            restore_generation(path, store, copies, VAULT)
        with pytest.raises(IntegrityError, match="of vault"):
            restore_generation(path, store, copies, uuid.UUID(int=6))
        with pytest.raises(NotFound):
            restore_generation(folder / "2026-01-01.keys", store, copies, VAULT)
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(IntegrityError, match="cut"):
            restore_generation(path, store, copies, VAULT)
        assert store.list("recording") == [R2]

    def test_a_forged_ledger_in_a_generation_is_refused(
        self, folder: Path, store: KeyStore, copies: tuple[Path, Path]
    ) -> None:
        forged = Chain()
        body = erase_body(uuid.UUID(int=1), uuid.UUID(int=9), None, [uuid.UUID(int=77)], [])
        forged.add(make_entry(forged, VAULT, ERASE, body, Ed25519PrivateKey.generate().sign))
        path = write(folder, store, chain=forged)
        store.path("recording", R1).unlink()
        with pytest.raises(LedgerError, match="forged"):
            restore_generation(path, store, copies, VAULT)
        assert store.list("recording") == [R2]


@pytest.mark.parametrize("put", ["pipe", "link"])
def test_a_generation_that_is_no_plain_file_is_refused_and_goes_in_time(
    folder: Path, store: KeyStore, put: str
) -> None:
    path = write(folder, store)
    real = path.rename(folder / "real")
    whole = real.read_bytes()
    os.mkfifo(path) if put == "pipe" else path.symlink_to(real)
    with pytest.raises(IntegrityError, match="stranger"):
        prove_generation(path)
    write(folder, store, DAY + dt.timedelta(days=9))
    assert [each.path for each in prune_generations(folder, DAY + dt.timedelta(days=9), 7)] == [path]
    assert not os.path.lexists(path)
    assert real.read_bytes() == whole


def test_random_bytes_give_typed_errors(folder: Path, store: KeyStore) -> None:
    path, dice = write(folder, store), random.Random(4)
    whole = path.read_bytes()
    for _ in range(500):
        data = bytearray(whole)
        for _ in range(dice.randint(1, 5)):
            at = dice.randrange(len(data))
            data[at : at + dice.randint(0, 4)] = dice.randbytes(dice.randint(0, 4))
        path.write_bytes(data)
        with contextlib.suppress(IntegrityError):
            prove_generation(path)
