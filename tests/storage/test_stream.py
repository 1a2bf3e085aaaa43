"""What analysis reads and writes: epochs with their gaps, and a muxer's output sealed."""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import BadOpening, IntegrityError
from storage.keys import derive_file_key
from storage.opening import encrypt_chunk, wire_digest
from storage.stream import EndRecord, EpochReader, Gap, SealedReader, SealedWriter
from tests.storage import builders
from tests.storage.builders import journal_of

CHUNKS = [bytes([i]) * size for i, size in enumerate([100, 1, 0, 70_000, 33, 5, 64])]


def reader_of(path: Path, made: builders.Epoch) -> EpochReader:
    return EpochReader(path, made.opening.epoch, made.key, made.opening.raw)


def test_an_epoch_is_its_chunks_in_order(tmp_path: Path) -> None:
    made, other = builders.epoch(CHUNKS), builders.epoch([b"not this"])
    shuffled = builders.Epoch(
        made.opening, made.key, CHUNKS, random.Random(4).sample(made.bodies, len(made.bodies))
    )
    journal_of(tmp_path / "j", other, shuffled)
    with reader_of(tmp_path / "j", made) as reader:
        assert reader.read() == b"".join(CHUNKS)
        assert reader.gaps == []
        assert reader.end_record == EndRecord(len(CHUNKS), 9999.5, 1.7e12 + 8765)
        assert [start.n for start in reader.chunks] == list(range(len(CHUNKS)))
        assert [start.offset for start in reader.chunks] == [
            sum(map(len, CHUNKS[:i])) for i in range(len(CHUNKS))
        ]
        assert list(reader.iter_chunks()) == list(enumerate(CHUNKS))


@settings(max_examples=40, deadline=None)
@given(
    st.sets(st.integers(0, 6)),
    st.lists(st.tuples(st.integers(0, 71_000), st.integers(-1, 71_000)), max_size=12),
)
def test_an_epoch_seeks_as_a_file_does_whatever_is_missing(
    tmp_path_factory: pytest.TempPathFactory, missing: set[int], reads: list[tuple[int, int]]
) -> None:
    made, path = builders.epoch(CHUNKS), tmp_path_factory.mktemp("epoch") / "j"
    journal_of(path, made, without=tuple(missing))
    plain = b"".join(chunk for n, chunk in enumerate(CHUNKS) if n not in missing)
    with reader_of(path, made) as reader:
        named = {n for gap in reader.gaps for n in range(gap.first, gap.last + 1)}
        assert named == missing
        assert reader.size == len(plain)
        for at, count in reads:
            reader.seek(at)
            assert reader.read(count) == plain[at : None if count < 0 else at + count]


def test_a_chunk_that_does_not_open_is_a_gap(tmp_path: Path) -> None:
    made, strange = builders.epoch(CHUNKS), builders.epoch(CHUNKS)
    journal = journal_of(tmp_path / "j", made, without=(3, 4))
    for n in (3, 4):  # ciphertext of another key under this epoch's opening, as a hostile browser may send
        ciphertext = strange.bodies[n].ciphertext
        journal.append(
            made.opening.epoch, n, 0, made.opening.raw, ciphertext, wire_digest(made.opening.raw + ciphertext)
        )
    with reader_of(tmp_path / "j", made) as reader:
        assert reader.gaps == [Gap(3, 4, "unopenable")]
        assert reader.read() == b"".join(CHUNKS[:3] + CHUNKS[5:])


def test_a_hostile_chunk_number_costs_nothing(tmp_path: Path) -> None:
    made = builders.epoch([b"first"])
    journal = journal_of(tmp_path / "j", builders.Epoch(made.opening, made.key, [], made.bodies[:1]))
    n = (1 << 32) - 1
    ciphertext = encrypt_chunk(made.key, made.opening, n, 0, b"last")
    journal.append(
        made.opening.epoch, n, 0, made.opening.raw, ciphertext, wire_digest(made.opening.raw + ciphertext)
    )
    with reader_of(tmp_path / "j", made) as reader:
        assert reader.gaps == [Gap(1, n - 1, "missing")]
        assert reader.read() == b"firstlast"


@pytest.mark.parametrize(
    "statement",
    [
        b"",
        b"null",
        b"[" * 100_000,
        b'{"chunks":2,"clock":1,"wall":1}',
        b'{"chunks":1,"clock":NaN,"wall":1}',
        b'{"chunks":1,"clock":1' + b"0" * 400 + b',"wall":1}',
        b'{"chunks":"x","clock":1,"wall":1}',
    ],
    ids=range(7),
)
def test_an_end_that_cannot_be_read_proves_nothing(tmp_path: Path, statement: bytes) -> None:
    made = builders.epoch([b"said"], end=statement)
    journal_of(tmp_path / "j", made)
    with reader_of(tmp_path / "j", made) as reader:
        assert reader.end_record is None
        assert reader.read() == b"said"


def test_readers_share_a_descriptor_which_stays_the_callers(tmp_path: Path) -> None:
    made, other = builders.epoch([b"one", b"two"]), builders.epoch([b"three"])
    journal_of(tmp_path / "j", made, other)
    with (tmp_path / "j").open("rb") as file:
        readers = [EpochReader(file.fileno(), e.opening.epoch, e.key, e.opening) for e in (made, other)]
        assert [reader.read(4) for reader in readers] == [b"onet", b"thre"]
        readers[0].close()
        assert readers[1].read() == b"e"
        assert file.read(4) == b"FPJ1"


def test_an_epoch_that_is_not_there_is_empty_and_a_bad_opening_is_named(tmp_path: Path) -> None:
    made = builders.epoch([b"said"])
    journal_of(tmp_path / "j", made)
    with EpochReader(tmp_path / "j", bytes(16), made.key, made.opening) as reader:
        assert (reader.size, reader.read(), reader.end_record) == (0, b"", None)
    with pytest.raises(BadOpening):
        EpochReader(tmp_path / "j", made.opening.epoch, made.key, b"no opening")


def test_a_chunk_that_changes_while_it_is_read_is_seen(tmp_path: Path) -> None:
    made = builders.epoch([b"a" * 50, b"b" * 50])
    journal_of(tmp_path / "j", made)
    with reader_of(tmp_path / "j", made) as reader:
        data = bytearray((tmp_path / "j").read_bytes())
        data[data.index(made.bodies[1].ciphertext)] ^= 1
        (tmp_path / "j").write_bytes(data)
        assert reader.read(50) == b"a" * 50
        with pytest.raises(IntegrityError):
            reader.read(1)


def test_a_muxer_writes_a_sealed_file_that_plays_and_seeks(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    numpy = pytest.importorskip("numpy")
    head = builders.header(65536)
    key = derive_file_key(builders.RECORDING_KEY, head)
    path, noise = tmp_path / "f", numpy.random.default_rng(1)
    options = {"reserve_index_space": "4096", "cluster_time_limit": "500"}
    with path.open("wb+") as file, SealedWriter(file.fileno(), head, key, 1 << 17) as writer:
        with av.open(writer, "w", format="webm", options=options) as out:
            stream = out.add_stream("libvpx", rate=25, options={"deadline": "realtime", "g": "10"})
            stream.width, stream.height, stream.bit_rate = 320, 240, 8_000_000
            for i in range(100):
                picture = noise.integers(0, 255, (240, 320, 3), dtype=numpy.uint8)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = i, Fraction(1, 25)
                out.mux(stream.encode(frame))
            out.mux(stream.encode())
        assert writer.size > 1 << 20, "the head is over long before the index is patched"
    with SealedReader(path, key) as reader, av.open(reader) as media:
        assert media.duration == pytest.approx(4_000_000, abs=50_000)
        media.seek(2_000_000)
        first = next(media.decode(video=0))
        assert 1.5 <= first.time <= 2.0
    assert path.stat().st_size > reader.size
