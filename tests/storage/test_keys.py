"""Key records and file keys."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import keys
from storage.errors import IntegrityError, NotFound
from storage.keystore import KeyStore
from tests.storage import builders

PARENT = bytes(range(100, 132))


def record(**changes: object) -> bytes:
    fields: dict[str, object] = {"kind": "recording", "key_id": "r1", "parent": "hr-2026", "key": bytes(32)}
    return keys.wrap(PARENT, **(fields | changes))


@settings(max_examples=50, deadline=None)
@given(
    st.binary(min_size=32, max_size=32),
    st.sampled_from(sorted(keys.KINDS)),
    st.none() | st.binary(max_size=65),
)
def test_a_wrapped_key_comes_back(key: bytes, kind: str, public: bytes | None) -> None:
    made = record(kind=kind, key=key, public=public)
    assert keys.unwrap(PARENT, made) == key
    assert keys.parse_record(made).public == public
    with pytest.raises(IntegrityError, match="key"):
        keys.unwrap(bytes(32), made)


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
def test_every_clear_field_is_bound(field: str, value: str) -> None:
    changed = keys.canonical_json(json.loads(record(public=b"\1")) | {field: value})
    keys.parse_record(changed)
    with pytest.raises(IntegrityError, match="key"):
        keys.unwrap(PARENT, changed)


def test_every_changed_bit_is_seen() -> None:
    made = record()
    for bit in range(len(made) * 8):
        changed = bytearray(made)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(IntegrityError, match="key"):
            keys.unwrap(PARENT, bytes(changed))


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


def test_a_file_key_hangs_on_owner_kind_name_and_salt() -> None:
    base = builders.header()
    others = [
        builders.header(owner=uuid.uuid4()),
        builders.header(kind="document"),
        builders.header(name="screen"),
        builders.header(salt=bytes(32)),
    ]
    derived = {keys.derive_file_key(builders.RECORDING_KEY, head) for head in (base, *others)}
    assert len(derived) == 5
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
    assert store.list("recording") == ["r1"]
    assert store.list("day") == []
    assert [path.name for path in (tmp_path / "keys").rglob("*") if path.is_file()] == ["r1.key"]


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
