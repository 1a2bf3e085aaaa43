"""The journal: what was acknowledged is there, whatever happens to the end of the file."""

from __future__ import annotations

import errno
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import journal as journals
from storage.check import check_journal
from storage.errors import IntegrityError, JournalConflict, NotFound, VaultFull
from storage.journal import Journal
from storage.journal_format import HEADER_BYTES, OPENING, Record
from storage.opening import MAX_OPENING_BYTES
from tests.storage import builders
from tests.storage.builders import Epoch, journal_of, put

_EPOCHS = [builders.epoch([bytes([65 + i]) * (i + 1) for i in range(6)]) for _ in range(2)]


def kept(journal: Journal) -> set[tuple[str, int]]:
    return {(epoch, n) for epoch, state in journal.state().items() for n in state.chunks}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_journal_is_a_dictionary_that_survives(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("journal") / "camera.journal"
    handles = [Journal(path), Journal(path)]
    model: dict[tuple[str, int], bytes] = {}
    for step in data.draw(st.lists(st.sampled_from(["put", "put", "put", "reopen", "tear"]), max_size=25)):
        which = data.draw(st.integers(0, 1))
        if step == "reopen":
            handles[which] = Journal(path)
        elif step == "tear":  # what a killed writer leaves behind the last acknowledged record
            if path.exists():
                with path.open("ab") as file:
                    file.write(data.draw(st.binary(max_size=HEADER_BYTES + 40)))
        else:
            made = _EPOCHS[data.draw(st.integers(0, 1))]
            body = made.bodies[data.draw(st.integers(0, 5))]
            place = (made.opening.epoch.hex(), body.n)
            assert put(handles[which], made, body) == ("same" if place in model else "created")
            model[place] = body.ciphertext
    for journal in (*handles, Journal(path)):
        assert kept(journal) == set(model)
        for (epoch, n), ciphertext in model.items():
            assert journal.read(bytes.fromhex(epoch), n) == ciphertext


def test_an_epoch_is_kept_whole_and_read_back(tmp_path: Path) -> None:
    made = _EPOCHS[0]
    journal = journal_of(tmp_path / "a" / "b" / "camera.journal", made)
    state = journal.state()[made.opening.epoch.hex()]
    assert (sorted(state.chunks), state.end) == (list(range(7)), 6)
    assert state.opening_sha256 == made.opening.sha256
    assert journal.opening(made.opening.epoch) == made.opening.raw
    assert state.chunks[2].digest == made.bodies[2].digest
    assert state.chunks[2].length == len(made.bodies[2].ciphertext)


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.long)])
def test_a_tail_torn_at_any_byte_costs_only_the_chunk_that_was_not_acknowledged(
    tmp_path: Path, every: int
) -> None:
    """Each byte around a record's edges and within its header, each `every`th of its payload."""
    made, path = _EPOCHS[0], tmp_path / "camera.journal"
    journal = Journal(path)
    ends = []
    for body in made.bodies[:3]:
        put(journal, made, body)
        ends.append(path.stat().st_size)
    whole = path.read_bytes()
    edges = [0, *ends]
    for length in range(len(whole)):
        if length % every and not any(-2 <= length - edge <= HEADER_BYTES + 2 for edge in edges):
            continue
        path.write_bytes(whole[:length])
        again = Journal(path)
        expected = sum(end <= length for end in ends)
        assert len(kept(again)) == expected
        assert [finding for finding in check_journal(path, full=True) if not finding.harmless] == []
        put(again, made, made.bodies[2])
        assert again.read(made.opening.epoch, 2) == made.bodies[2].ciphertext
        assert len(kept(Journal(path))) == min(expected, 2) + 1


def test_a_tail_that_was_allotted_but_never_written_is_not_believed(tmp_path: Path) -> None:
    made, path = _EPOCHS[0], tmp_path / "camera.journal"
    journal_of(path, made)
    whole = path.read_bytes()
    last = HEADER_BYTES + len(made.bodies[6].ciphertext)
    for cut in (whole[:-last] + bytes(last), whole[:-8] + bytes(8)):
        path.write_bytes(cut)
        journal = Journal(path)
        assert len(kept(journal)) == 6
        assert len(kept(journal)) == 6, "nor at the second look"
        assert put(journal, made, made.bodies[6]) == "created"
        assert journal.read(made.opening.epoch, 6) == made.bodies[6].ciphertext


def test_damage_in_the_middle_costs_what_it_hit_and_nothing_behind_it(tmp_path: Path) -> None:
    made, path = _EPOCHS[0], tmp_path / "camera.journal"
    journal_of(path, made)
    whole = path.read_bytes()
    record = whole.index(made.bodies[1].ciphertext) - HEADER_BYTES
    path.write_bytes(whole[: record + 9] + b"\xff\xff" + whole[record + 11 :])
    journal = Journal(path)
    assert sorted(journal.state()[made.opening.epoch.hex()].chunks) == [0, 2, 3, 4, 5, 6]
    assert [finding.kind for finding in check_journal(path)] == ["record"]
    assert put(journal, made, made.bodies[1]) == "created"
    assert len(kept(Journal(path))) == 7


def test_a_record_behind_a_hole_is_found_and_the_hole_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, path = _EPOCHS[0], tmp_path / "camera.journal"
    journal_of(path, made)
    whole = path.read_bytes()
    record = whole.index(made.bodies[1].ciphertext) - HEADER_BYTES
    with path.open("r+b") as file:
        file.truncate(record)
        file.seek(record + 4 * 1024**4)
        file.write(whole[record:])
        file.truncate(record + 7 * 1024**4)
    read: list[int] = []
    pread = os.pread

    def counting(fd: int, length: int, offset: int) -> bytes:
        piece = pread(fd, length, offset)
        read.append(len(piece))
        assert sum(read) < 64 * 1024**2, "a hole is being read"
        return piece

    monkeypatch.setattr(os, "pread", counting)
    assert len(kept(Journal(path))) == 7


def opening_header(length: int) -> bytes:
    return Record(OPENING, 0, 0, length, bytes(16), bytes(32)).encode()


@pytest.mark.parametrize("misleading", [b"FPJ1", opening_header(1000), opening_header(MAX_OPENING_BYTES + 1)])
def test_what_is_made_to_be_searched_for_ever_ends_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, misleading: bytes
) -> None:
    """A run of what looks like records and is none: behind damage no more than some thousand are tried."""
    made, path = _EPOCHS[0], tmp_path / "camera.journal"
    journal_of(path, made)
    with path.open("ab") as file:
        file.write(misleading * 20_000)
    tried: list[int] = []
    original = journals.record_at

    def counting(fd: int, offset: int, size: int) -> Record | None:
        tried.append(offset)
        return original(fd, offset, size)

    monkeypatch.setattr(journals, "record_at", counting)
    assert len(kept(Journal(path))) == 7
    assert len(tried) < 10_000


def test_a_journal_holds_no_more_records_than_one_can_keep_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, path = _EPOCHS[0], tmp_path / "camera.journal"
    journal_of(path, made)  # two openings, six chunks and the end
    monkeypatch.setattr(journals, "MAX_RECORDS", 9)
    journal = Journal(path)
    assert len(kept(journal)) == 7
    with pytest.raises(VaultFull, match="limit"):
        put(journal, _EPOCHS[1], _EPOCHS[1].bodies[0])
    monkeypatch.setattr(journals, "MAX_RECORDS", 8)
    assert len(kept(Journal(path))) == 6


def test_damage_to_an_opening_costs_no_chunk(tmp_path: Path) -> None:
    made, path = _EPOCHS[0], tmp_path / "camera.journal"
    journal_of(path, made)
    whole = path.read_bytes()
    for at in (20, HEADER_BYTES + 20):
        path.write_bytes(whole[:at] + b"\xff\xff" + whole[at + 2 :])
        journal = Journal(path)
        assert len(kept(journal)) == 7
        assert journal.opening(made.opening.epoch) == made.opening.raw
        assert journal.read(made.opening.epoch, 0) == made.bodies[0].ciphertext
        assert [finding.kind for finding in check_journal(path, full=True)] == ["record"]


def test_a_damaged_payload_is_named_and_not_returned(tmp_path: Path) -> None:
    chunks = [bytes([i]) * 50 for i in range(20)]
    made, path = builders.epoch(chunks), tmp_path / "camera.journal"
    journal_of(path, made)
    whole = path.read_bytes()
    at = whole.index(made.bodies[1].ciphertext)
    path.write_bytes(whole[: at + 5] + bytes([whole[at + 5] ^ 1]) + whole[at + 6 :])
    with pytest.raises(IntegrityError, match="record"):
        Journal(path).read(made.opening.epoch, 1)
    assert check_journal(path) == []
    assert [finding.kind for finding in check_journal(path, full=True)] == ["record"]


def test_another_content_in_a_place_is_a_conflict(tmp_path: Path) -> None:
    made = _EPOCHS[0]
    journal = journal_of(tmp_path / "camera.journal", made)
    size = journal.path.stat().st_size
    other, _ = builders.opening(epoch=made.opening.epoch)
    cases = [
        ("chunk", made.opening.raw, 0, 0, bytes(32)),
        ("chunk", made.opening.raw, 6, 0, made.bodies[6].digest),
        ("opening", other.raw, 0, 0, made.bodies[0].digest),
        ("end", made.opening.raw, 7, 0, bytes(32)),
        ("end", made.opening.raw, 8, 1, bytes(32)),
    ]
    for kind, opening, n, flag, digest in cases:
        with pytest.raises(JournalConflict) as raised:
            journal.append(made.opening.epoch, n, flag, opening, b"x" * 20, digest)
        assert raised.value.kind == kind
    assert journal.path.stat().st_size == size


def test_an_end_before_a_kept_chunk_is_a_conflict(tmp_path: Path) -> None:
    made = _EPOCHS[0]
    journal = journal_of(
        tmp_path / "camera.journal", builders.Epoch(made.opening, made.key, [], made.bodies[4:5])
    )
    with pytest.raises(JournalConflict, match="end"):
        journal.append(made.opening.epoch, 3, 1, made.opening.raw, b"x" * 20, bytes(32))


def test_the_limit_and_a_full_disk_refuse_and_keep_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, path = _EPOCHS[0], tmp_path / "camera.journal"
    journal = Journal(path, max_bytes=2000)
    put(journal, made, made.bodies[0])
    big = builders.epoch([bytes(2000)])
    with pytest.raises(VaultFull, match="limit"):
        put(journal, big, big.bodies[0])

    def half_then_full(fd: int, pieces: list[memoryview], offset: int) -> int:
        if offset > size:
            raise OSError(errno.ENOSPC, "full")
        return os.pwrite(fd, b"".join(pieces)[:40], offset)

    size = path.stat().st_size
    with monkeypatch.context() as full:
        full.setattr(os, "pwritev", half_then_full)
        with pytest.raises(VaultFull, match="disk"):
            put(journal, made, made.bodies[1])
    assert path.stat().st_size == size
    assert put(journal, made, made.bodies[1]) == "created"
    assert kept(Journal(path)) == {(made.opening.epoch.hex(), 0), (made.opening.epoch.hex(), 1)}


def test_a_chunk_whose_fsync_failed_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, path = _EPOCHS[0], tmp_path / "camera.journal"
    journal = journal_of(path, builders.Epoch(made.opening, made.key, [], made.bodies[:1]))

    def fail(_fd: int) -> None:
        raise OSError(errno.EIO, "lost")

    with monkeypatch.context() as failing:
        failing.setattr(os, "fdatasync", fail)
        with pytest.raises(OSError, match="lost"):
            put(journal, made, made.bodies[1])
    assert len(kept(Journal(path))) == 1
    assert put(journal, made, made.bodies[1]) == "created"


def test_no_answer_comes_before_its_bytes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record may be the work of a process killed before its fsync, so "same" and `state` make it last."""
    made, path = _EPOCHS[0], tmp_path / "camera.journal"
    journal_of(path, made)
    synced: list[int] = []
    real = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda fd: (synced.append(fd), real(fd))[1])
    journal = Journal(path)
    assert put(journal, made, made.bodies[0]) == "same"
    assert len(synced) == 1
    Journal(path).state()
    assert len(synced) == 2
    journal.state()
    journal.state()
    assert len(synced) == 3, "what this process has made to last it does not make to last again"


def _append_all(path: Path, made: Epoch, numbers: range) -> None:
    for n in numbers:
        put(Journal(path), made, made.bodies[n])


def test_several_processes_append_to_one_journal(tmp_path: Path) -> None:
    made, path = builders.epoch([bytes([i]) * 300 for i in range(40)]), tmp_path / "camera.journal"
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=_append_all, args=(path, made, range(i, 40, 2))) for i in range(2)]
    writers += [fork.Process(target=_append_all, args=(path, made, range(0, 40, 3)))]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    journal = Journal(path)
    assert sorted(journal.state()[made.opening.epoch.hex()].chunks) == list(range(40))
    assert check_journal(path, full=True) == []


def test_a_journal_that_was_removed_holds_nothing(tmp_path: Path) -> None:
    """Whoever still has it open must not be told that its chunks are kept."""
    made = _EPOCHS[0]
    journal = journal_of(tmp_path / "camera.journal", made)
    assert kept(journal)
    journal.path.unlink()
    assert journal.state() == {}
    assert put(journal, made, made.bodies[0]) == "created"
    assert kept(journal) == {(made.opening.epoch.hex(), 0)}


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "camera.journal")
    assert journal.state() == {}
    with pytest.raises(NotFound):
        journal.read(bytes(16), 0)
    made = _EPOCHS[0]
    put(journal, made, made.bodies[0])
    with pytest.raises(NotFound):
        journal.read(made.opening.epoch, 1)
    with pytest.raises(NotFound):
        journal.opening(bytes(16))


@pytest.mark.parametrize(
    ("n", "flag", "ciphertext"), [(-1, 0, b"x"), (1 << 32, 0, b"x"), (0, 2, b"x"), (0, 0, b"")]
)
def test_what_is_no_chunk_is_refused(tmp_path: Path, n: int, flag: int, ciphertext: bytes) -> None:
    with pytest.raises(ValueError, match=r"chunk|payload"):
        Journal(tmp_path / "j").append(bytes(16), n, flag, b"o", ciphertext, bytes(32))
    assert not (tmp_path / "j").exists()


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.mkdir()


def _link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


@pytest.mark.parametrize("put_strange", [_fifo, _folder, _link])
def test_the_check_names_what_is_no_plain_file_and_waits_for_nothing(
    tmp_path: Path, put_strange: Callable[[Path], None]
) -> None:
    path = tmp_path / "camera.journal"
    put_strange(path)
    with ThreadPoolExecutor(1) as pool:
        checking = pool.submit(check_journal, path)
        try:
            found = checking.result(timeout=10)
        finally:
            if not checking.done():  # a reader that waits for a writer of the pipe
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    assert [(finding.kind, finding.harmless) for finding in found] == [("stranger", False)]
