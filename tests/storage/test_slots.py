"""The vault's description: slots open what they should, and whatever was changed or is newer is named."""

from __future__ import annotations

import contextlib
import json
import secrets
import tracemalloc
import uuid
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import IntegrityError
from storage.keys import canonical_json, parse_record, wrap
from storage.shares import ShareSet
from storage.slots import (
    MAX_DESCRIPTION_BYTES,
    Description,
    Rekey,
    Reshare,
    Rotate,
    TokenKey,
    new_slot,
    parse_description,
    vault_check,
)

VAULT = uuid.UUID("12345678-1234-4234-8234-123456789abc")
KEY, SLOT_KEY = secrets.token_bytes(32), secrets.token_bytes(32)
CREATED = "2026-11-01T00:00:00.000Z"
SET = ShareSet(3, 2, tuple(secrets.token_bytes(32) for _ in range(3)))
SLOTS = (
    new_slot("file", VAULT, SLOT_KEY, KEY, 1),
    new_slot("shares", VAULT, SLOT_KEY, KEY, 1, shares=SET),
    new_slot("token", VAULT, SLOT_KEY, KEY, 1, token=TokenKey("hr", "01", "vault", "sha1", bytes(384))),
    new_slot("credential", VAULT, SLOT_KEY, KEY, 1),
)
RECORD = wrap(KEY, kind="department-year", key_id="d.2026", parent=str(VAULT), key=bytes(32))
PENDING = (
    None,
    Reshare(SLOTS[1], SLOTS[0].id),
    Rekey(bytes(32), SLOTS),
    Rotate(parse_record(RECORD)),
)


def description(**changes: Any) -> Description:
    made = Description(VAULT, CREATED, vault_check(VAULT, KEY), 1, 3, SLOTS)
    return replace(made, **changes).sealed(KEY)


@pytest.mark.parametrize("pending", PENDING)
def test_a_description_comes_back_as_it_was(pending: Any) -> None:
    made = description(pending=pending)
    found = parse_description(made.encode())
    assert found == made
    found.require(KEY)
    for slot in found.slots:
        assert slot.open(SLOT_KEY) == KEY
        assert slot.open(bytearray(SLOT_KEY)) == KEY


def test_another_key_opens_no_slot_and_proves_no_vault() -> None:
    for slot in SLOTS:
        with pytest.raises(IntegrityError, match="key"):
            slot.open(bytes(32))
    with pytest.raises(IntegrityError, match="key"):
        description().require(bytes(32))


def test_whatever_somebody_changes_in_it_is_noticed_at_the_unlock() -> None:
    made = description()
    weaker = replace(SLOTS[1], shares=replace(SET, needed=3))
    planted = new_slot("file", VAULT, bytes(32), bytes(32), 1)
    for changed in (
        replace(made, slots=(planted, *SLOTS)),
        replace(made, slots=SLOTS[:-1]),
        replace(made, slots=(SLOTS[0], weaker, *SLOTS[2:])),
        replace(made, sets=2),
        replace(made, created="2026-11-01T00:00:00.001Z"),
        replace(made, pending=PENDING[1]),
    ):
        found = parse_description(changed.encode())
        with pytest.raises(IntegrityError, match="vault"):
            found.require(KEY)


def test_a_slot_is_wrapped_anew_for_another_vault_key_only_with_its_own() -> None:
    other = secrets.token_bytes(32)
    for slot in SLOTS:
        moved = slot.rewrapped(SLOT_KEY, other, 1)
        assert moved.open(SLOT_KEY) == other
        assert (moved.id, moved.kind, moved.check, moved.shares, moved.token) == (
            slot.id, slot.kind, slot.check, slot.shares, slot.token,
        )  # fmt: skip
        with pytest.raises(IntegrityError, match="key"):
            slot.rewrapped(bytes(32), other, 1)


def test_version_1_has_no_slots() -> None:
    fields = {"version": 1, "vault": str(VAULT), "created": CREATED, "check": vault_check(VAULT, KEY).hex()}
    found = parse_description(canonical_json(fields))
    assert (found.version, found.vault_id, found.slots) == (1, VAULT, ())
    found.require(KEY)
    with pytest.raises(IntegrityError, match="key"):
        found.require(bytes(32))


def test_what_a_newer_fupan_made_is_named_as_that() -> None:
    def newer(change: Any) -> bytes:
        fields = json.loads(description(pending=PENDING[1]).encode())
        change(fields)
        return canonical_json(fields)

    for change in (
        lambda it: it.update(version=3),
        lambda it: it.update(suite=99),
        lambda it: it["slots"][0].update(kind="voice"),
        lambda it: it["pending"].update(kind="move"),
    ):
        with pytest.raises(IntegrityError, match="newer Fupan") as caught:
            parse_description(newer(change))
        assert caught.value.kind == "version"


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"null", b'{"version":true}', b'{"version":0}', b"[" * 100_000, b" " * 200_000],
    ids=range(8),
)
def test_what_is_no_description_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="vault"):
        parse_description(data)


def test_another_spelling_is_refused() -> None:
    good = description().encode()
    for data in (good + b"\n", b" " + good, json.dumps(json.loads(good)).encode()):
        with pytest.raises(IntegrityError, match="vault"):
            parse_description(data)


# Fuzz ------------------------------------------------------------------------------------------------

NOISE = st.binary(max_size=4)
NUMBERS = [None, True, False, 0, -1, 1, 2, 2**32, 2**64, 1.5, float("nan")]
TEXTS = [
    "",
    "x",
    "x" * 300,
    "00" * 32,
    "AAAA",
    "\0",
    "2026-11-01T00:00:00.000Z",
    str(VAULT),
    "shares",
    "slot",
]
VALUES = [*NUMBERS, *TEXTS, [], {}, [[]], [{}], {"": None}, ["00" * 32] * 40]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    found = [path] if path else []
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            found += places(value[key], (*path, key))
    return found


@pytest.mark.parametrize("cases", [2_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_a_description_with_anything_in_any_place_is_read_or_refused(cases: int) -> None:
    goods = [description(pending=pending).encode() for pending in PENDING]
    spots = [places(json.loads(good)) for good in goods]

    @settings(max_examples=cases, deadline=None, database=None)
    @given(
        st.integers(0, len(goods) - 1),
        st.integers(0, 9999),
        st.integers(0, len(VALUES) - 1),
        st.booleans(),
        st.binary(max_size=4),
    )
    def holds(which: int, spot: int, value: int, drop: bool, noise: bytes) -> None:
        fields = json.loads(goods[which])
        *above, last = spots[which][spot % len(spots[which])]
        inner = fields
        for key in above:
            inner = inner[key]
        if drop:
            del inner[last]
        else:
            inner[last] = VALUES[value]
        flipped = bytearray(goods[which])
        flipped[spot % len(flipped) : spot % len(flipped) + 1] = noise
        for data in (canonical_json(fields), bytes(flipped)):
            with contextlib.suppress(IntegrityError):
                assert parse_description(data).encode() == data or b'"version":1' in data

    holds()


def test_no_description_takes_much_memory() -> None:
    whole = description(slots=SLOTS * 4).encode()
    tracemalloc.start()
    for data in (whole, b"[" * MAX_DESCRIPTION_BYTES, b"0" * (1 << 24), b'{"a":' * 20_000):
        with contextlib.suppress(IntegrityError):
            parse_description(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20
