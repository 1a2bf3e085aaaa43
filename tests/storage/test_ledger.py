"""The erase ledger: what is refused by which name, and what a crash between its two copies leaves."""

from __future__ import annotations

import contextlib
import json
import os
import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from storage import disk, ledger
from storage.check import check, check_keys, check_ledger
from storage.errors import IntegrityError, LedgerError, VaultFull
from storage.ledger import Ledger
from storage.ledger_format import (
    DAY_KEY,
    EMPTY,
    ERASE,
    Chain,
    Head,
    Known,
    erase_body,
    make_entry,
    parse_ledger,
)
from tests.storage import builders

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
VAULT = uuid.UUID("11111111-2222-4333-8444-555555555555")


def erasure(number: int = 1) -> dict[str, object]:
    ids = [uuid.UUID(int=number * 10 + each) for each in range(5)]
    return erase_body(ids[0], ids[1], ids[2], [ids[3]], [ids[4]])


def chain_of(count: int) -> Chain:
    chain = Chain()
    for number in range(count):
        chain.add(make_entry(chain, VAULT, ERASE, erasure(number), KEY.sign))
    return chain


def refused(data: bytes) -> str:
    with pytest.raises(LedgerError) as caught:
        parse_ledger(data, VAULT, PUBLIC)
    return caught.value.kind


@pytest.fixture
def copies(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "keys" / "ledger", tmp_path / "vault" / "ledger"


@pytest.fixture
def book(copies: tuple[Path, Path]) -> Ledger:
    return Ledger(copies, VAULT, PUBLIC)


class TestFormat:
    def test_what_is_written_is_read(self) -> None:
        chain = Chain()
        at = datetime(2026, 7, 14, 2, 3, 4, 567000, tzinfo=UTC)
        chain.add(make_entry(chain, VAULT, ERASE, erasure(), KEY.sign, at))
        chain.add(make_entry(chain, VAULT, DAY_KEY, {"day": "2026-07-01"}, KEY.sign))
        read = parse_ledger(chain.lines_after(0), VAULT, PUBLIC)
        assert [each.line for each in read.entries] == [each.line for each in chain.entries]
        assert (read.head, read.torn, read.size) == (chain.head, 0, len(chain.lines_after(0)))
        assert read.entries[0].moment == at
        assert read.destroyed == {
            ("person", str(uuid.UUID(int=12))),
            ("recording", str(uuid.UUID(int=13))),
            ("day", "2026-07-01"),
        }
        assert read.of_mark(uuid.UUID(int=10)) is not None
        assert read.of_mark(uuid.UUID(int=99)) is None

    def test_one_recording_of_a_person_who_stays(self) -> None:
        body = erase_body(uuid.UUID(int=1), uuid.UUID(int=2), None, [uuid.UUID(int=3)], [])
        entry = make_entry(Chain(), VAULT, ERASE, body, KEY.sign)
        assert entry.destroyed == [("recording", str(uuid.UUID(int=3)))]

    def test_a_torn_tail_was_never_acknowledged(self) -> None:
        data = chain_of(2).lines_after(0)
        read = parse_ledger(data[:-5], VAULT, PUBLIC)
        assert (read.head.count, read.torn) == (1, len(data) - 5 - read.size)

    def test_another_vaults(self) -> None:
        chain = Chain()
        chain.add(make_entry(chain, uuid.uuid4(), ERASE, erasure(), KEY.sign))
        assert refused(chain.lines_after(0)) == "foreign"

    def test_a_stranger_signs(self) -> None:
        chain = Chain()
        chain.add(make_entry(chain, VAULT, ERASE, erasure(), Ed25519PrivateKey.generate().sign))
        assert refused(chain.lines_after(0)) == "forged"

    def test_every_changed_bit_is_refused(self) -> None:
        data = chain_of(1).lines_after(0)
        kinds = set()
        for at in range(len(data) - 1):  # without its newline, the entry is a torn tail
            for bit in range(8):
                changed = bytearray(data)
                changed[at] ^= 1 << bit
                if b"\n" in bytes(changed[at : at + 1]):
                    continue
                kinds.add(refused(bytes(changed)))
        assert kinds == {"line", "forged", "version", "foreign"}

    def test_left_out_moved_repeated(self) -> None:
        lines = chain_of(4).lines_after(0).splitlines(keepends=True)
        assert refused(lines[0] + lines[2] + lines[3]) == "gap"
        assert refused(lines[1] + lines[2]) == "gap"
        assert refused(lines[0] + lines[1] + lines[1]) == "order"
        assert refused(lines[1] + lines[0]) == "gap"
        assert refused(lines[0] + lines[0]) == "order"

    def test_two_histories(self) -> None:
        first, other = chain_of(2), Chain()
        other.add(make_entry(other, VAULT, ERASE, erasure(7), KEY.sign))
        spliced = other.lines_after(0) + first.lines_after(1)
        assert refused(spliced) == "forked"

    def test_a_newer_version_is_named(self) -> None:
        fields = json.loads(chain_of(1).entries[0].line)
        line = json.dumps(fields | {"version": 2}, sort_keys=True, separators=(",", ":")).encode()
        assert refused(line + b"\n") == "version"

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"mark": "x"},
            erasure() | {"more": 1},
            erasure() | {"person": 5},
            erasure() | {"recordings": "x"},
            erasure() | {"recordings": [str(uuid.UUID(int=9)), str(uuid.UUID(int=8))]},
            erasure() | {"recordings": [str(uuid.UUID(int=9))] * 2},
            erasure() | {"kept": [str(uuid.UUID(int=n)) for n in range(1001)]},
            erasure() | {"mark": str(uuid.UUID(int=0xABC)).upper()},
            [],
        ],
    )
    def test_a_body_that_is_none_is_not_signed(self, body: dict[str, object]) -> None:
        with pytest.raises((LedgerError, ValueError, TypeError)):
            make_entry(Chain(), VAULT, ERASE, body, KEY.sign)

    def test_random_bytes_give_typed_errors(self) -> None:
        dice = random.Random(3)
        good = chain_of(3).lines_after(0)
        for _ in range(2000):
            data = bytearray(good)
            for _ in range(dice.randint(1, 6)):
                at = dice.randrange(len(data))
                data[at : at + dice.randint(0, 3)] = dice.randbytes(dice.randint(0, 3))
            with contextlib.suppress(LedgerError):
                parse_ledger(bytes(data), VAULT, PUBLIC)
        for value in ("1", "[]", "{}", '{"version":1}', '{"version":1.0}', "null", '"' + "\\ud800" + '"'):
            assert refused(value.encode() + b"\n") in ("line", "version")

    def test_heads_as_text(self) -> None:
        head = chain_of(3).head
        assert Head.parse(str(head)) == head
        assert Head.parse(str(EMPTY)) == EMPTY
        for text in ("", "3", f"03:{head.head}", f"3:{head.head}0", f"0:{head.head}", f"3:{EMPTY.head}"):
            with pytest.raises(LedgerError, match="head"):
                Head.parse(text)

    def test_what_is_known_elsewhere(self) -> None:
        chain = chain_of(3)
        chain.require([Known("x", Head(count, chain.heads[count])) for count in range(4)])
        with pytest.raises(LedgerError, match="short: entries 4 to 5 are missing, which the page knows"):
            chain.require([Known("the page", Head(5, "ab" * 32)), Known("less", Head(4, "ab" * 32))])
        with pytest.raises(LedgerError, match="forked"):
            chain.require([Known("the page", Head(2, "ab" * 32))])


class TestFiles:
    def test_an_entry_is_in_both_copies(self, book: Ledger, copies: tuple[Path, Path]) -> None:
        book.append(ERASE, erasure(1), KEY.sign)
        book.append(DAY_KEY, {"day": "2026-07-01"}, KEY.sign)
        first, second = (path.read_bytes() for path in copies)
        assert first == second
        assert parse_ledger(first, VAULT, PUBLIC).head == book.chain.head
        assert copies[0].stat().st_mode & 0o777 == 0o600

    def test_the_longer_copy_is_taken_over(self, book: Ledger, copies: tuple[Path, Path]) -> None:
        for number in range(3):
            book.append(ERASE, erasure(number), KEY.sign)
        whole = copies[0].read_bytes()
        cut = b"".join(whole.splitlines(keepends=True)[:1])
        torn = whole[: len(cut) + 7]
        for path, data in ((copies[0], cut), (copies[1], cut), (copies[0], b""), (copies[1], torn)):
            path.write_bytes(data)
            assert Ledger(copies, VAULT, PUBLIC).settle().head.count == 3
            assert [each.read_bytes() for each in copies] == [whole, whole]
        copies[0].unlink()
        assert Ledger(copies, VAULT, PUBLIC).settle().head.count == 3
        assert copies[0].read_bytes() == whole

    def test_a_damaged_copy_is_named_and_nothing_changed(
        self, book: Ledger, copies: tuple[Path, Path]
    ) -> None:
        book.append(ERASE, erasure(1), KEY.sign)
        whole = copies[1].read_bytes()
        changed = whole.replace(b'"seq":1', b'"seq":2')
        copies[1].write_bytes(changed)
        with pytest.raises(LedgerError, match=str(copies[1])):
            Ledger(copies, VAULT, PUBLIC).settle()
        assert copies[1].read_bytes() == changed

    def test_two_histories_are_refused(self, copies: tuple[Path, Path]) -> None:
        for number, path in enumerate(copies):
            Ledger([path], VAULT, PUBLIC).append(ERASE, erasure(number), KEY.sign)
        with pytest.raises(LedgerError, match="forked"):
            Ledger(copies, VAULT, PUBLIC).settle()

    def test_what_is_known_outside_counts(self, book: Ledger, copies: tuple[Path, Path]) -> None:
        book.append(ERASE, erasure(1), KEY.sign)
        head = book.chain.head
        book.append(ERASE, erasure(2), KEY.sign)
        newest = book.chain.head
        assert book.settle([Known("paper", head), Known("intake", newest)]).head == newest
        for path in copies:
            path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
        with pytest.raises(LedgerError, match="entries 2 to 2 are missing, which intake knows"):
            Ledger(copies, VAULT, PUBLIC).settle([Known("paper", head), Known("intake", newest)])

    @pytest.mark.parametrize("fail_at", [1, 2])
    def test_a_full_disk_leaves_both_or_is_made_good(
        self, book: Ledger, copies: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, fail_at: int
    ) -> None:
        book.append(ERASE, erasure(1), KEY.sign)
        with monkeypatch.context() as patched:
            patched.setattr(disk, "sync_data", failing(fail_at))
            with pytest.raises(VaultFull):
                book.append(ERASE, erasure(2), KEY.sign)
        assert book.chain.head.count == 1  # what is read meanwhile is what was in both
        assert book.settle().head.count == fail_at  # the first copy had it, or none
        assert copies[0].read_bytes() == copies[1].read_bytes()
        book.append(ERASE, erasure(3), KEY.sign)
        assert parse_ledger(copies[1].read_bytes(), VAULT, PUBLIC).head.count == fail_at + 1

    def test_a_file_that_somebody_changed_is_not_written_to(
        self, book: Ledger, copies: tuple[Path, Path]
    ) -> None:
        book.append(ERASE, erasure(1), KEY.sign)
        copies[1].write_bytes(b"")
        with pytest.raises(LedgerError, match="changed"):
            book.append(ERASE, erasure(2), KEY.sign)
        assert book.settle().head.count == 2  # it is in the first copy, and the second one is made good
        assert copies[0].read_bytes() == copies[1].read_bytes()

    def test_a_link_is_not_followed(self, copies: tuple[Path, Path], tmp_path: Path) -> None:
        other = tmp_path / "other"
        other.write_bytes(b"")
        copies[1].parent.mkdir(parents=True)
        copies[1].symlink_to(other)
        with pytest.raises(Exception, match="no plain file"):
            Ledger(copies, VAULT, PUBLIC).append(ERASE, erasure(1), KEY.sign)
        assert other.read_bytes() == b""

    @pytest.mark.parametrize("which", [0, 1])
    @pytest.mark.parametrize("put", ["pipe", "genuine", "/dev/zero", "folder"])
    def test_what_is_no_plain_file_is_refused_and_not_waited_for(
        self, book: Ledger, copies: tuple[Path, Path], which: int, put: str
    ) -> None:
        """Whoever can write to the media's folder must not be able to stop the keyholder by it."""
        book.append(ERASE, erasure(1), KEY.sign)
        path = copies[which]
        path.rename(path.with_name("genuine"))
        builders.put_strange(path, put)
        with pytest.raises(IntegrityError, match=f"stranger: {path} is no plain file"):
            Ledger(copies, VAULT, PUBLIC).settle()
        assert ledger.newest_chain([path], VAULT, PUBLIC).head == EMPTY
        assert ledger.newest_chain(copies, VAULT, PUBLIC).head == book.chain.head
        assert ledger.ledger_exists([path])  # so that a check looks, and no second ledger key is made
        assert [(each.path, each.kind) for each in check_ledger(copies, VAULT, PUBLIC)] == [
            (path, "stranger")
        ]

    def test_it_grows_no_longer_than_it_can_be_read(
        self, book: Ledger, copies: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        book.append(ERASE, erasure(1), KEY.sign)
        monkeypatch.setattr(ledger, "MAX_LEDGER_BYTES", 2 * book.chain.size)
        book.append(ERASE, erasure(2), KEY.sign)
        before = book.chain.head
        with pytest.raises(VaultFull, match="limit"):
            book.append(ERASE, erasure(3), KEY.sign)
        assert Ledger(copies, VAULT, PUBLIC).settle().head == before
        copies[1].write_bytes(copies[1].read_bytes() + b"\n")
        with pytest.raises(IntegrityError, match=r"stranger: .*longer than"):
            Ledger(copies, VAULT, PUBLIC).settle()

    def test_a_check_names_what_is_wrong(self, book: Ledger, copies: tuple[Path, Path]) -> None:
        def found() -> list[tuple[str, str, bool]]:
            findings = check_ledger(copies, VAULT, PUBLIC)
            return [(each.path.parent.name, each.kind, each.harmless) for each in findings]

        assert found() == []
        for number in range(3):
            book.append(ERASE, erasure(number), KEY.sign)
        assert found() == check(copies[1].parent) == check_keys(copies[0].parent) == []
        lines = copies[1].read_bytes().splitlines(keepends=True)
        copies[1].write_bytes(b"".join(lines[:2]) + lines[2][:9])
        assert found() == [("vault", "torn_tail", True), ("vault", "behind", True)]
        copies[1].write_bytes(lines[0])
        assert found() == [("vault", "short", False)]
        copies[1].unlink()
        assert found() == [("vault", "short", False)]
        copies[1].write_bytes(lines[0] + lines[2])
        assert found() == [("vault", "gap", False)]

    def test_the_head_while_the_vault_is_locked(self, book: Ledger, copies: tuple[Path, Path]) -> None:
        assert ledger.newest_chain(copies, VAULT, PUBLIC).head == EMPTY
        assert not ledger.ledger_exists(copies)
        book.append(ERASE, erasure(1), KEY.sign)
        copies[0].write_bytes(b"nonsense\n")
        assert ledger.newest_chain(copies, VAULT, PUBLIC).head == book.chain.head
        assert ledger.ledger_exists(copies)


def failing(at: int) -> Callable[[int], None]:
    """Stands in for `disk.sync_data`: the call with this number finds no room."""
    calls = []

    def sync(fd: int) -> None:
        calls.append(fd)
        if len(calls) == at:
            raise VaultFull("disk")
        os.fdatasync(fd)

    return sync
