"""Key records and file keys."""

from __future__ import annotations

import dataclasses
import json
import os
import uuid
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import keys
from storage.check import check_keys
from storage.errors import IntegrityError, NotFound
from storage.keystore import KeyStore
from storage.suites import SUITES
from tests.storage import builders

PARENT = bytes(range(100, 132))
EVERY_SUITE = pytest.mark.parametrize("suite", SUITES)


def record(**changes: object) -> bytes:
    fields: dict[str, object] = {"kind": "recording", "key_id": "r1", "parent": "hr-2026", "key": bytes(32)}
    return keys.wrap(PARENT, **(fields | changes))


@settings(max_examples=50, deadline=None)
@given(
    st.binary(min_size=32, max_size=32),
    st.sampled_from(sorted(keys.KINDS)),
    st.none() | st.binary(max_size=65),
    st.sampled_from(sorted(SUITES)),
)
def test_a_wrapped_key_comes_back(key: bytes, kind: str, public: bytes | None, suite: int) -> None:
    made = record(kind=kind, key=key, public=public, suite=suite)
    assert keys.unwrap(PARENT, made) == key
    parsed = keys.parse_record(made)
    assert (parsed.public, parsed.suite, parsed.encode()) == (public, suite, made)
    with pytest.raises(IntegrityError, match="key"):
        keys.unwrap(bytes(32), made)


def test_suite_1_makes_version_1_and_suite_2_states_itself() -> None:
    first, second = json.loads(record()), json.loads(record(suite=2))
    assert (first["version"], "suite" in first) == (1, False)
    assert (second["version"], second["suite"]) == (2, 2)
    with pytest.raises(IntegrityError, match="version"):
        record(suite=3)


@pytest.mark.parametrize(
    "stated", [{"version": 3}, {"version": 3, "suite": 9}, {"suite": 3}, {"version": 10**30}], ids=str
)
def test_a_record_of_a_newer_fupan_is_named_so(stated: dict[str, int]) -> None:
    newer = keys.canonical_json(json.loads(record(suite=2)) | stated)
    with pytest.raises(IntegrityError, match="made by a newer Fupan") as raised:
        keys.parse_record(newer)
    assert raised.value.kind == "version"


@pytest.mark.parametrize(
    "stated",
    [{"version": value} for value in (0, 1, 2.0, "2", True, None)]
    + [{"suite": value} for value in (-1, 0, 1, 2.0, "2", None)],
    ids=str,
)
def test_version_and_suite_have_one_spelling(stated: dict[str, object]) -> None:
    other = keys.canonical_json(json.loads(record(suite=2)) | stated)
    with pytest.raises(IntegrityError) as raised:
        keys.parse_record(other)
    assert raised.value.kind == "key"


def test_a_record_opens_only_in_its_own_suite() -> None:
    """The wrapping key of suite 2 is not the parent itself, and what one suite wrapped the other refuses."""
    for made, claimed in ((record(), 2), (record(suite=2), 1)):
        parsed = dataclasses.replace(keys.parse_record(made), suite=claimed)
        with pytest.raises(IntegrityError, match="key"):
            keys.unwrap(PARENT, parsed)


@EVERY_SUITE
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "r2"),
        ("kind", "person"),
        ("parent", "it-2026"),
        ("created", "2020-01-01T00:00:00.000Z"),
        ("public", "AA=="),
    ],
)
def test_every_clear_field_is_bound(field: str, value: str, suite: int) -> None:
    changed = keys.canonical_json(json.loads(record(public=b"\1", suite=suite)) | {field: value})
    keys.parse_record(changed)
    with pytest.raises(IntegrityError, match="key"):
        keys.unwrap(PARENT, changed)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"version":2}',
        b"[" * 100_000,
        b"\xff",
        record() + b"\n",
        b" " + record(),
    ],
    ids=range(9),
)
def test_what_is_no_canonical_record_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="key"):
        keys.parse_record(data)


def test_a_file_key_hangs_on_owner_kind_name_salt_and_suite() -> None:
    base = builders.header()
    others = [
        dataclasses.replace(base, **changes)
        for changes in (
            {"owner": uuid.uuid4()},
            {"kind": "document"},
            {"name": "screen"},
            {"salt": bytes(32)},
            {"suite": 2},
        )
    ]
    derived = {keys.derive_file_key(builders.RECORDING_KEY, head) for head in (base, *others)}
    assert sorted(map(len, derived)) == [16, 32, 32, 32, 32, 32]
    assert keys.derive_file_key(builders.RECORDING_KEY, base.raw) in derived
    assert keys.derive_file_key(bytes(32), base) not in derived


def test_a_day_key_that_is_no_scalar_is_refused() -> None:
    for scalar in (bytes(32), b"\xff" * 32):
        with pytest.raises(IntegrityError, match="key"):
            keys.load_day_private(scalar)


def test_a_store_keeps_a_record_and_never_another_in_its_place(tmp_path: Path) -> None:
    store, first = KeyStore(tmp_path / "keys"), record()
    store.put("recording", "r1", first)
    store.put("recording", "r1", first)
    assert store.get("recording", "r1").encode() == first
    with pytest.raises(IntegrityError, match="replaced"):
        store.put("recording", "r1", record())
    assert keys.unwrap(PARENT, store.get("recording", "r1")) == bytes(32)
    assert [path.name for path in (tmp_path / "keys").rglob("*") if path.is_file()] == ["r1.key"]


def test_a_name_that_no_key_of_its_kind_has_is_not_listed(tmp_path: Path) -> None:
    """A person may have left a file there: it is a stranger's, and stops nobody who asks for the others."""
    store, owner = KeyStore(tmp_path), str(uuid.uuid4())
    for kind, key_id in (
        ("recording", owner),
        ("person", owner),
        ("day", "2026-11-22"),
        ("department-year", f"{owner}.2026"),
        ("service", "ledger-1"),
    ):
        store.put(kind, key_id, record(kind=kind, key_id=key_id))
        for foreign in ("kept-by-admin", owner.upper(), "2026-11-31", "20261122", "2026-11-22 (copy)", "é"):
            if kind in ("recording", "person", "day") or " " in foreign:
                (tmp_path / kind / f"{foreign}.key").write_bytes(b"x")
        assert store.list(kind) == [key_id]
    assert {each.kind for each in check_keys(tmp_path)} == {"key", "stranger"}
    assert KeyStore(tmp_path / "none").list("day") == []


def test_a_destroyed_record_leaves_nothing(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys")
    assert not store.destroy("recording", "r1")
    store.put("recording", "r1", record())
    crashed = store.path("recording", "r1").with_name(".r1.key.12345678.tmp")
    crashed.hardlink_to(store.path("recording", "r1"))
    assert store.destroy("recording", "r1")
    assert not store.destroy("recording", "r1")
    assert [path for path in (tmp_path / "keys").rglob("*") if path.is_file()] == []
    with pytest.raises(NotFound):
        store.get("recording", "r1")


@pytest.mark.parametrize("put", ["real", "/dev/zero", "pipe", "folder"])
def test_a_record_that_is_no_plain_file_gives_no_key_and_can_be_destroyed(tmp_path: Path, put: str) -> None:
    """Whoever put it there must not be able to keep anything from being erased."""
    store, made = KeyStore(tmp_path), record()
    store.put("recording", "r1", made)
    path = store.path("recording", "r1")
    real = path.rename(path.with_name("real"))
    builders.put_strange(path, put)
    with pytest.raises(IntegrityError, match=f"stranger: {path} is no plain file"):
        store.get("recording", "r1")
    with pytest.raises(IntegrityError, match="replaced"):
        store.put("recording", "r1", made)
    assert store.destroy("recording", "r1") == (put != "folder")
    assert os.path.lexists(path) == (put == "folder")
    assert real.read_bytes() == made  # it may be anybody's: a check names it
    assert [each.path for each in check_keys(tmp_path) if each.kind == "stranger"][-1] == real


def test_a_record_is_restored_in_the_place_of_a_link(tmp_path: Path) -> None:
    store, made = KeyStore(tmp_path), record()
    path, real = store.path("recording", "r1"), tmp_path / "real"
    path.parent.mkdir()
    real.write_bytes(record())
    before = real.read_bytes()
    path.symlink_to(real)
    assert store.restore(keys.parse_record(made)) == "records"
    assert (path.read_bytes(), path.is_symlink(), real.read_bytes()) == (made, False, before)


def test_a_record_under_another_name_is_refused(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    with pytest.raises(IntegrityError, match="key"):
        store.put("recording", "r2", record())
    store.put("recording", "r1", record())
    store.path("recording", "r1").rename(store.path("recording", "r2"))
    with pytest.raises(IntegrityError, match="key"):
        store.get("recording", "r2")
    with pytest.raises(NotFound):
        store.get("recording", "r1")


@pytest.mark.parametrize("name", ["", "../x", ".hidden", "a/b", "x" * 81, "é", "a\n"])
def test_a_name_that_is_unsafe_on_disk_is_refused(tmp_path: Path, name: str) -> None:
    store = KeyStore(tmp_path)
    with pytest.raises(IntegrityError, match="key"):
        store.get("recording", name)
    with pytest.raises(IntegrityError, match="key"):
        store.get(name, "r1")


def test_a_record_is_replaced_only_by_who_names_it(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    old, new, other = record(), record(), record()
    store.put("recording", "r1", old)
    with pytest.raises(IntegrityError, match="replaced"):
        store.replace("recording", "r1", new, replaces=keys.parse_record(other).digest)
    assert store.get("recording", "r1").encode() == old
    for _ in range(2):  # the same again is fine: a run that was killed is repeated
        store.replace("recording", "r1", new, replaces=keys.parse_record(old).digest)
    assert store.get("recording", "r1").encode() == new
    assert [path.name for path in (tmp_path / "recording").iterdir()] == ["r1.key"]


def test_nothing_is_put_in_the_place_of_what_is_not_there(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    for made in (False, True):
        if made:
            store.put("recording", "r2", record(key_id="r2"))
        with pytest.raises(NotFound):
            store.replace("recording", "r1", record(), replaces=bytes(32))


def test_the_replaced_bytes_are_overwritten_where_they_lay(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    old = record()
    store.put("recording", "r1", old)
    with store.path("recording", "r1").open("rb") as kept:
        store.replace("recording", "r1", record(), replaces=keys.parse_record(old).digest)
        assert kept.read(len(old)) != old


def test_a_rewrapped_key_is_the_same_key_under_the_same_name() -> None:
    made = keys.parse_record(record(public=b"\1", key=bytes(range(32))))
    parent = bytes(range(32))
    moved = keys.parse_record(keys.rewrap(PARENT, made, parent, 1))
    assert keys.unwrap(parent, moved) == bytes(range(32))
    assert moved.bound == made.bound
    with pytest.raises(IntegrityError, match="key"):
        keys.unwrap(PARENT, moved)
