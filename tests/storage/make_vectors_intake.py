"""The vectors of what intake takes: openings and journals. `tests.storage.make_vectors` writes them."""

from __future__ import annotations

import dataclasses
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from storage import opening
from storage.journal_format import HEADER_BYTES, parse_record
from storage.keys import new_day_key, public_bytes
from storage.segment_format import length_prefixed
from tests.storage import builders

DAY = "2026-11-22"
EPOCH_KEY = bytes(range(64, 96))


@dataclasses.dataclass
class _Maker:
    """Openings whose every field can be put as it must not be; signed all the same."""

    browser_key: ec.EllipticCurvePrivateKey
    day_private: bytes
    day_public: bytes

    def fields(self) -> dict[str, bytes]:
        return {
            "suite": b"\1",
            "vault": builders.VAULT.bytes,
            "recording": builders.RECORDING.bytes,
            "track": b"camera",
            "epoch": bytes(range(16)),
            "day_key": DAY.encode(),
            "browser_key": public_bytes(self.browser_key),
            "mime": b"video/webm",
            "clock": bytes(16) + struct.pack(">dd", 1234.5, 1.7e12),
            "commitment": opening.commitment_to(EPOCH_KEY),
        }

    def recipient(self, info: bytes, name: str = DAY) -> bytes:
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), self.day_public)
        sealed = opening._HPKE.encrypt(EPOCH_KEY, point, info=info)
        return b"".join(map(length_prefixed, (name.encode(), sealed[:65], sealed[65:])))

    def made(
        self, names: tuple[str, ...] = (DAY,), count: int | None = None, tail: bytes = b"", **changes: bytes
    ) -> bytes:
        info = b"FPO1" + b"".join(map(length_prefixed, (self.fields() | changes).values()))
        signed = info + bytes([len(names) if count is None else count])
        signed += b"".join(self.recipient(info, name) for name in names) + tail
        return self.signed(signed)

    def signed(self, message: bytes) -> bytes:
        return message + opening.sign_by_browser(self.browser_key, message)


def openings() -> Iterator[dict[str, Any]]:
    """Name, opening and day key, and the epoch key or the kind of the failure."""
    maker = _Maker(opening.new_browser_key(), *new_day_key())

    def vector(name: str, raw: bytes, failure: str | None = None) -> dict[str, Any]:
        expected = {"failure": failure} if failure else {"epoch_key": EPOCH_KEY.hex()}
        return {"name": name, "opening": raw.hex(), "day_private": maker.day_private.hex()} | expected

    good = maker.made()
    yield vector("one recipient", good)
    yield vector("two recipients", maker.made(names=("2026-11-21", DAY)))
    yield vector("the longest track, day key and MIME type", maker.made(
        names=("d" * 32,), track=b"t" * 32, day_key=b"d" * 32, mime=b"m" * 128))  # fmt: skip
    yield vector("text that is not ASCII", maker.made(mime="video/webm; 编码".encode()))
    yield vector("something behind it", good + b"ciphertext")
    for length in (0, 3, 5, 30, 100, len(good) // 2, len(good) - 65, len(good) - 1):
        yield vector(f"cut to {length}", good[:length], "length")
    names = tuple(f"{DAY}-{i}" for i in range(7))
    yield vector("over 1024 bytes", maker.made(names=(DAY, *names)), "length")
    for magic in (b"FPO2", b"FPS1", bytes(4)):
        yield vector(f"magic {magic.hex()}", magic + good[4:], "magic")
    for suite in (0, 2, 255):
        yield vector(f"suite {suite}", maker.made(suite=bytes([suite])), "suite")
    fields = maker.fields()
    for name in ("suite", "vault", "recording", "epoch", "browser_key", "clock", "commitment"):
        yield vector(f"{name} a byte short", maker.made(**{name: fields[name][:-1]}), "field")
        yield vector(f"{name} a byte long", maker.made(**{name: fields[name] + b"\0"}), "field")
    for name, value in (
        ("track", b""),
        ("track", b"Camera"),
        ("track", b"a/b"),
        ("track", b"t" * 33),
        ("day_key", b""),
        ("day_key", b"d" * 33),
        ("day_key", b"\xff"),
        ("mime", b""),
        ("mime", b"m" * 129),
        ("mime", b"video/webm\n"),
        ("mime", b"\xc3"),
        ("clock", bytes(16) + struct.pack(">dd", float("nan"), 0)),
        ("clock", bytes(16) + struct.pack(">dd", 0, float("inf"))),
    ):
        yield vector(f"{name} {value[-16:].hex() or 'empty'}", maker.made(**{name: value}), "field")
    yield vector("no recipient", maker.made(names=()), "recipient")
    yield vector("nine recipients stated", maker.made(count=9), "recipient")
    yield vector("another recipient", maker.made(names=("2026-11-21",)), "recipient")
    yield vector("one recipient twice", maker.made(names=(DAY, DAY)), "recipient")
    for at in (len(good) - 1, len(good) - 33, len(good) - 64, len(good) - 70, 60, 200):
        damaged = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
        yield vector(f"damaged at {at}", damaged, "signature")
    yield vector("a signature of zeros", good[:-64] + bytes(64), "signature")
    yield vector("a browser key that is no point", maker.made(browser_key=b"\4" + bytes(64)), "signature")
    unsigned, stranger = good[:-64], opening.new_browser_key()
    by_stranger = unsigned + opening.sign_by_browser(stranger, unsigned)
    yield vector("signed by a stranger", by_stranger, "signature")
    altered = unsigned[:-1] + bytes([unsigned[-1] ^ 1])
    yield vector("wrapped key damaged, then signed", maker.signed(altered), "unwrap")
    moved = unsigned.replace(fields["epoch"], bytes(16))
    yield vector("another epoch's wrapping", maker.signed(moved), "unwrap")
    yield vector("another day key", good, "unwrap") | {"day_private": new_day_key()[0].hex()}
    other = maker.made(commitment=opening.commitment_to(bytes(32)))
    yield vector("committed to another key", other, "commitment")


class _Parts:
    """A journal of one epoch in pieces: opening, chunk 0, opening, chunks 1 … 3, end record."""

    def __init__(self) -> None:
        self.day_private, day_public = new_day_key()
        self.plaintexts = [b"the first", b"my second", b"the third", b"a 4th one"]
        self.epoch = builders.epoch(self.plaintexts, recipients={DAY: day_public})
        self.other = builders.epoch([b"another page"], recipients={DAY: day_public})
        self.records, self.others = self._records(self.epoch), self._records(self.other)

    @staticmethod
    def _records(made: builders.Epoch) -> list[bytes]:
        with tempfile.TemporaryDirectory() as folder:
            data = builders.journal_of(Path(folder) / "j", made).path.read_bytes()
        found = []
        while data:
            record = parse_record(data)
            assert record is not None
            found.append(data[: record.total_bytes])
            data = data[record.total_bytes :]
        return found

    def changed(self, index: int, at: int, value: int | None = None) -> list[bytes]:
        """The records with one byte of one of them changed; its lowest bit, if no value is given."""
        piece = self.records[index]
        at %= len(piece)
        byte = piece[at] ^ 1 if value is None else value
        return self.with_record(index, piece[:at] + bytes([byte]) + piece[at + 1 :])

    def stated(self, index: int, **changes: object) -> list[bytes]:
        """The records with a header that states something else, under a right CRC."""
        record = parse_record(self.records[index])
        assert record is not None
        header = dataclasses.replace(record, **changes).encode()
        return self.with_record(index, header + self.records[index][HEADER_BYTES:])

    def with_record(self, index: int, piece: bytes) -> list[bytes]:
        return [*self.records[:index], piece, *self.records[index + 1 :]]


def journals() -> Iterator[dict[str, Any]]:
    """Name, journal, epoch, opening and epoch key; what a full check finds, and what can be read.

    `findings`: the kinds that `storage.check` names, sorted. `opens`: number → plaintext. `gaps`: first,
    last, reason. `ended`: whether the end record proves the end.
    """
    parts = _Parts()
    opened, first, again, *chunks, end = parts.records
    whole = parts.records

    def vector(
        name: str,
        records: list[bytes],
        findings: tuple[str, ...] = (),
        opens: tuple[int, ...] = (0, 1, 2, 3),
        gaps: tuple[tuple[int, int, str], ...] = (),
        ended: bool = True,
    ) -> dict[str, Any]:
        return {
            "name": name,
            "journal": b"".join(records).hex(),
            "epoch": parts.epoch.opening.epoch.hex(),
            "opening": parts.epoch.opening.raw.hex(),
            "epoch_key": parts.epoch.key.hex(),
            "findings": list(findings),
            "opens": {str(n): parts.plaintexts[n].hex() for n in opens},
            "gaps": [list(gap) for gap in gaps],
            "ended": ended,
        }

    damaged, torn = {"findings": ("record",)}, {"findings": ("torn_tail",)}
    none_opens: dict[str, Any] = {"opens": (), "ended": False}
    without_1: dict[str, Any] = {"opens": (0, 2, 3), "gaps": ((1, 1, "missing"),)}
    yield vector("whole", whole)
    yield vector("two epochs, interleaved", [opened, first, *parts.others, again, *chunks, end])
    yield vector("in another order of arrival", [opened, chunks[2], again, end, *chunks[:2], first])
    yield vector("a record twice", [*whole[:4], whole[3], *whole[4:]])
    yield vector("the whole journal twice", whole + whole)
    yield vector("without an end record", whole[:-1], ended=False)
    yield vector("empty", [], **none_opens)
    yield vector("chunk 1 never came", [opened, first, again, *chunks[1:], end], **without_1)
    without_2 = [opened, first, again, chunks[2], end]
    yield vector("chunks 1 and 2 never came", without_2, opens=(0, 3), gaps=((1, 2, "missing"),))
    yield vector("only the end record", [opened, end], opens=(), gaps=((0, 3, "missing"),))
    yield vector("without an opening", [first, *chunks, end], **torn, **none_opens)
    places = {"magic": 0, "type": 4, "flag": 5, "reserved": 7, "number": 11, "length": 15, "epoch": 16}
    for name, at in (places | {"digest": 32, "CRC": 67, "first byte": HEADER_BYTES, "last byte": -1}).items():
        yield vector(f"{name} of chunk 1 damaged", parts.changed(3, at), **damaged, **without_1)
    for name, stated in {
        "type 3": {"type": 3},
        "flag 2": {"flag": 2},
        "a length over 64 MiB": {"length": (64 << 20) + 1},
        "a length beyond the file": {"length": 1 << 20},
    }.items():
        yield vector(f"{name} under a right CRC", parts.stated(3, **stated), **damaged, **without_1)
    yield vector("an opening of 1025 bytes under a right CRC", parts.stated(2, length=1025), **damaged)
    yield vector("the first opening damaged", parts.changed(0, 100), **damaged)
    yield vector("the second opening damaged", parts.changed(2, 100), **damaged)
    for name, strange in {"zeros": bytes(100), "noise": b"\xa5" * 333, "a magic": b"FPJ1"}.items():
        yield vector(f"{name} between two records", [*whole[:4], strange, *whole[4:]], **damaged)
        yield vector(f"{name} at the end", [*whole, strange], **torn)
        yield vector(f"{name} in the front", [strange, *whole], **damaged)
    for cut in (1, 16, 40, len(end) - HEADER_BYTES, len(end) - 10, len(end) - 1):
        yield vector(f"the last record cut by {cut}", [*whole[:-1], end[:-cut]], **torn, ended=False)
    empty_end = end[:HEADER_BYTES] + bytes(len(end) - HEADER_BYTES)
    yield vector("the last payload is zeros", parts.with_record(6, empty_end), **torn, ended=False)
    swapped = chunks[0][:HEADER_BYTES] + chunks[1][HEADER_BYTES:]
    yield vector("another chunk's payload", parts.with_record(3, swapped), **damaged, **without_1)
    yield vector(
        "a chunk of an epoch without an opening", [*whole[:4], parts.others[1], *whole[4:]], **damaged
    )
    yield vector("no journal at all", [b"FPS1" + bytes(500)], **torn, **none_opens)
