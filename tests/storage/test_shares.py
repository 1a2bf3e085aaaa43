"""Shares: any m of n give the key, whatever people type; each wrong one is named."""

from __future__ import annotations

import itertools
import secrets
import struct
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.shares import (
    MAX_COUNT,
    Collector,
    Share,
    ShareError,
    ShareSet,
    combine,
    decode,
    parse,
    split,
)

VAULT = uuid.UUID("12345678-1234-4234-8234-123456789abc")


def issued(shares: list[Share]) -> ShareSet:
    return ShareSet(shares[0].set, shares[0].needed, tuple(share.digest for share in shares))


def collecting(shares: list[Share], key: bytes, **more: int) -> Collector:
    return Collector(VAULT, issued(shares), lambda found: found == key, **more)


@pytest.mark.parametrize(("needed", "count"), [(2, 2), (2, 3), (3, 5), (5, 5)])
def test_any_m_of_n_give_the_key_and_fewer_do_not(needed: int, count: int) -> None:
    key = secrets.token_bytes(32)
    shares = split(VAULT, 1, needed, count, key)
    for some in itertools.permutations(shares, needed):
        assert combine(some) == key
    for few in itertools.combinations(shares, needed - 1):
        assert combine(few) != key
    assert [share.index for share in shares] == list(range(1, count + 1))


def test_sixteen_of_sixteen() -> None:
    key = secrets.token_bytes(32)
    assert combine(split(VAULT, 1, MAX_COUNT, MAX_COUNT, key)) == key


@pytest.mark.parametrize(("needed", "count"), [(1, 1), (1, 3), (0, 2), (3, 2), (2, 17), (17, 17)])
def test_a_policy_that_protects_nothing_is_refused(needed: int, count: int) -> None:
    with pytest.raises(ShareError, match="policy"):
        split(VAULT, 1, needed, count, bytes(32))


def test_the_text_is_read_however_it_is_typed() -> None:
    (share, _) = split(VAULT, 7, 2, 2, secrets.token_bytes(32))
    text = share.text()
    assert text.startswith("FUPAN-")
    assert len(text) == len("FUPAN") + 24 * 5
    full_width = "".join(chr(ord(each) + 0xFEE0) if each.isalnum() else each for each in text)
    for typed in (
        text,
        text.lower(),
        text.replace("-", ""),
        text.replace("-", " - "),
        f"\n  {text.replace('-', chr(0x2013))}\t\n",
        text.removeprefix("FUPAN-"),
        text.replace("0", "O").replace("1", "l"),
        text.replace("0", "o").replace("1", "I"),
        full_width,
    ):
        assert parse(typed) == share


def test_each_mistyped_character_is_noticed() -> None:
    (share, _) = split(VAULT, 7, 2, 2, secrets.token_bytes(32))
    text = share.text().replace("-", "").removeprefix("FUPAN")
    for at in range(len(text)):
        wrong = "Z" if text[at] != "Z" else "Y"
        for typed in (
            text[:at] + wrong + text[at + 1 :],
            text[:at] + text[at + 1 :],
            text[:at] + "U" + text[at:],
        ):
            with pytest.raises(ShareError, match="mistyped"):
                parse(typed)
    for at in range(len(text) - 1):
        swapped = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
        if swapped != text:
            with pytest.raises(ShareError, match="mistyped"):
                parse(swapped)


def test_a_share_of_a_newer_kind_says_so() -> None:
    import hashlib

    body = bytes((2,)) + split(VAULT, 1, 2, 2, bytes(32))[0].encode()[1:-4]
    with pytest.raises(ShareError, match="version"):
        decode(body + hashlib.sha256(body).digest()[:4])


def test_a_share_that_contradicts_itself_is_refused() -> None:
    import hashlib

    for needed, count, index in ((1, 3, 1), (2, 3, 0), (2, 3, 4), (3, 2, 1), (2, 17, 1)):
        body = struct.pack(">B16sIBBB32s", 1, VAULT.bytes, 1, needed, count, index, bytes(32))
        with pytest.raises(ShareError, match="mistyped"):
            decode(body + hashlib.sha256(body).digest()[:4])


def test_each_wrong_share_is_named_and_the_right_ones_stay() -> None:
    key = secrets.token_bytes(32)
    old, mine, next_ = (split(VAULT, number, 2, 3, key) for number in (3, 4, 5))
    other = split(uuid.uuid4(), 4, 2, 3, key)
    never = split(VAULT, 4, 2, 3, secrets.token_bytes(32))
    collector = collecting(mine, key, pending=5)
    assert collector.give(mine[1].text()).index == 2
    for wrong, kind in (
        (mine[1].text(), "given_already"),
        (mine[0].text()[:-1], "mistyped"),
        (other[0].text(), "other_vault"),
        (old[0].text(), "old_set"),
        (next_[0].text(), "pending_set"),
        (split(VAULT, 6, 2, 3, key)[0].text(), "not_issued"),
        (never[0].text(), "not_issued"),
        ("", "mistyped"),
        ("x" * 10_000, "mistyped"),
    ):
        with pytest.raises(ShareError, match=kind):
            collector.give(wrong)
        assert collector.given == [2]
    with pytest.raises(ShareError, match="too_few"):
        collector.slot_key()
    collector.give(mine[2].text())
    assert collector.complete
    assert collector.slot_key() == key


def test_shares_that_look_right_but_give_another_key_are_refused() -> None:
    forged = split(VAULT, 1, 2, 3, secrets.token_bytes(32))
    collector = Collector(VAULT, issued(forged), lambda found: False)
    collector.give(forged[0].text())
    with pytest.raises(ShareError, match="wrong_key"):
        collector.give(forged[1].text())
    assert collector.given == []


def test_a_new_set_is_read_back_whole() -> None:
    key = secrets.token_bytes(32)
    shares = split(VAULT, 2, 2, 3, key)
    collector = collecting(shares, key, needed=3)
    for share in shares:
        assert not collector.complete
        collector.give(share.text())
    assert collector.slot_key() == key


# Properties ------------------------------------------------------------------------------------------

KEYS = st.binary(min_size=32, max_size=32)
CASES = [2_000, pytest.param(100_000, marks=pytest.mark.long)]


@pytest.mark.parametrize("cases", CASES)
def test_whatever_is_typed_is_a_share_or_a_typed_failure(cases: int) -> None:
    good = split(VAULT, 1, 2, 3, secrets.token_bytes(32))[0].text()
    characters = st.sampled_from("0123456789ABCDEFGHJKMNPQRSTVWXYZ-oIlU \u3000")
    edits = st.lists(st.tuples(st.integers(0, len(good)), st.integers(0, 3), characters), max_size=4)

    @settings(max_examples=cases, deadline=None, database=None)
    @given(st.one_of(st.text(max_size=200), st.text(characters, max_size=140), edits))
    def holds(typed: str | list[tuple[int, int, str]]) -> None:
        text = good
        if isinstance(typed, str):
            text = typed
        else:
            for at, length, new in typed:
                text = text[:at] + new + text[at + length :]
        try:
            found = parse(text)
        except ShareError as error:
            found = error.kind
        assert found in ("mistyped", "version") or parse(found.text()) == found

    holds()


@pytest.mark.parametrize("cases", [200, pytest.param(5_000, marks=pytest.mark.long)])
def test_every_share_comes_back_from_its_text(cases: int) -> None:
    @settings(max_examples=cases, deadline=None, database=None)
    @given(st.uuids(), st.integers(0, 2**32 - 1), st.integers(2, 16), st.integers(0, 14), KEYS)
    def holds(vault: uuid.UUID, number: int, needed: int, more: int, key: bytes) -> None:
        count = min(MAX_COUNT, needed + more)
        shares = split(vault, number, needed, count, key)
        assert [parse(share.text()) for share in shares] == shares
        assert combine(shares[-needed:]) == key

    holds()
