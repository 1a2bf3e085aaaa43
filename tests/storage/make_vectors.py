"""Writes tests/storage/vectors: what each version and suite made, and what it must refuse, by which name.

Each file is written once (`python -m tests.storage.make_vectors` makes those that are missing) and never
again: old files must open for ever.
"""

from __future__ import annotations

import base64
import json
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from storage.keys import KINDS, MAX_RECORD_BYTES, canonical_json, new_day_key, wrap
from storage.suites import TAG_BYTES
from tests.storage import builders
from tests.storage.make_vectors_intake import journals, openings

FOLDER = Path(__file__).parent / "vectors"
SIZES = [0, 1, 63, 64, 65, 127, 128, 129, 192, 500]
PARENT = bytes(range(32))


def sealed_files(suite: int) -> Iterator[dict[str, Any]]:
    """Name, bytes and recording key of sealed files, and their plaintext or the kind of their failure."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _sealed_files(Path(folder) / "f", suite)


def _sealed_files(path: Path, suite: int) -> Iterator[dict[str, Any]]:
    rng = random.Random(suite)

    def vector(
        name: str, data: bytes, plain: bytes | None = None, failure: str | None = None
    ) -> dict[str, Any]:
        expected = {"failure": failure} if plain is None else {"plaintext": plain.hex()}
        return {"name": name, "data": data.hex(), "key": builders.RECORDING_KEY.hex()} | expected

    for kind, file_name in (("track", "camera"), ("document", "transcript.v1")):
        for size in SIZES:
            plain = rng.randbytes(size)
            head = builders.header(kind=kind, name=file_name, salt=rng.randbytes(32), suite=suite)
            yield vector(f"{kind} of {size} bytes", builders.seal(path, plain, head), plain)
    plain, head = rng.randbytes(64 * 3 + 10), builders.header(suite=suite)
    good = builders.seal(path, plain, head)
    start, step = len(head.raw), 64 + TAG_BYTES

    def flipped(at: int) -> bytes:
        return good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]

    for at in (0, 3, 6, 7, 25, 44, 58, 92, 93):
        yield vector(f"header damaged at {at}", flipped(at), failure="header")
    for at in (4, 5):
        yield vector(f"unknown version or suite at {at}", flipped(at), failure="version")
    for at in (8, 26, 51, 59, 90):
        yield vector(f"bound header field changed at {at}", flipped(at), failure="last_segment")
    for index in range(3):
        for offset in (0, 63, 64, 79):
            yield vector(
                f"segment {index} damaged at {offset}",
                flipped(start + index * step + offset),
                failure="segment",
            )
    for at in (start + 3 * step, len(good) - 1):
        yield vector(f"last segment damaged at {at}", flipped(at), failure="last_segment")
    for length in (0, 4, start - 1):
        yield vector(f"cut to {length}", good[:length], failure="header")
    for length in (start, start + 15, start + step + 5, start + step + 16):
        yield vector(f"cut to {length}", good[:length], failure="size")
    for length in (start + 16, start + step, start + 2 * step, start + 3 * step, len(good) - 1):
        yield vector(f"cut to {length}", good[:length], failure="last_segment")
    a, b, c, d = (good[start + i * step : start + (i + 1) * step] for i in range(4))
    head_bytes = good[:start]
    yield vector("two segments swapped", head_bytes + b + a + c + d, failure="segment")
    yield vector("a segment repeated", head_bytes + a + a + b + c + d, failure="last_segment")
    yield vector("a segment dropped", head_bytes + a + c + d, failure="last_segment")
    yield vector("the last one first", head_bytes + d + a + b + c, failure="last_segment")
    yield vector("a byte added", good + b"\0", failure="last_segment")
    yield vector("an empty last segment", head_bytes + a + b + c + bytes(16), failure="size")
    yield vector("another key", good, failure="last_segment") | {"key": bytes(32).hex()}
    other = builders.seal(path, plain, builders.header(suite=suite))
    moved = head_bytes + a + other[start + step : start + 2 * step] + c + d
    yield vector("a segment of another file", moved, failure="segment")
    yield vector("the header of another file", other[:start] + good[start:], failure="last_segment")
    claimed = good[:5] + bytes([3 - suite]) + good[6:]
    yield vector("another suite claimed", claimed, failure="last_segment")
    yield vector("suite 255", good[:5] + b"\xff" + good[6:], failure="version")


def version_1() -> dict[str, Any]:
    """What the first release wrote: sealed files of suite 1, an epoch, a key record."""
    day_private, day_public = new_day_key()
    made = builders.epoch([b"first", b"", b"third" * 20], recipients={"2026-11-22": day_public})
    with tempfile.TemporaryDirectory() as folder:
        journal = builders.journal_of(Path(folder) / "j", made).path.read_bytes()
    key = bytes(range(32, 64))
    record = wrap(PARENT, kind="day", key_id="2026-11-22", parent="vault", key=key, public=day_public)
    return {
        "sealed": list(sealed_files(1)),
        "epoch": {
            "journal": journal.hex(),
            "day_private": day_private.hex(),
            "plaintexts": [plaintext.hex() for plaintext in made.plaintexts],
        },
        "key": {"record": record.decode(), "parent": PARENT.hex(), "key": key.hex()},
    }


def key_records() -> Iterator[dict[str, Any]]:
    """Name, record (text) and parent key of key records, and their key or the kind of their failure."""
    for suite in (1, 2):
        for vector in _key_records(suite):
            yield vector | {"name": f"suite {suite}: {vector['name']}"}


def _key_records(suite: int) -> Iterator[dict[str, Any]]:
    key, public = bytes(range(32, 64)), new_day_key()[1]

    def made(kind: str = "recording", with_public: bytes | None = public) -> bytes:
        return wrap(PARENT, kind=kind, key_id="k1", parent="p", key=key, public=with_public, suite=suite)

    def vector(name: str, record: bytes, failure: str | None = None) -> dict[str, Any]:
        expected = {"failure": failure} if failure else {"key": key.hex()}
        return {"name": name, "record": record.decode("latin-1"), "parent": PARENT.hex()} | expected

    for kind in sorted(KINDS & {"day", "department-year", "recording", "person", "service"}):
        yield vector(f"kind {kind}", made(kind, None))
    good = made()
    fields = json.loads(good)
    yield vector("with a public half", good)
    yield vector("another parent", good, "key") | {"parent": bytes(32).hex()}
    changes: dict[str, object] = {
        "id": "k2",
        "kind": "person",
        "parent": "q",
        "created": "2020-01-01T00:00:00.000Z",
        "public": base64.b64encode(public[::-1]).decode(),
        "nonce": base64.b64encode(bytes(12)).decode(),
        "wrapped": base64.b64encode(bytes(48)).decode(),
        "more": "",
    }
    for name, value in changes.items():
        yield vector(f"{name} changed", canonical_json(fields | {name: value}), "key")
    for name in ("kind", "id", "parent", "created", "public", "nonce", "wrapped"):
        without = {key: value for key, value in fields.items() if key != name}
        yield vector(f"{name} missing", canonical_json(without), "key")
    wrapped = base64.b64decode(fields["wrapped"])
    for name, value in {
        "a nonce of 11 bytes": {"nonce": base64.b64encode(bytes(11)).decode()},
        "wrapped without its tag": {"wrapped": base64.b64encode(wrapped[:32]).decode()},
        "wrapped shorter than a tag": {"wrapped": base64.b64encode(wrapped[:15]).decode()},
        "wrapped is no base64": {"wrapped": "*"},
        "a kind that there is not": {"kind": "master"},
        "an id that is a path": {"id": "../k1"},
    }.items():
        yield vector(name, canonical_json(fields | value), "key")
    for name, record in {
        "empty": b"",
        "a list": b"[]",
        "not JSON": good[:-1],
        "a byte added": good + b"\n",
        "another order": json.dumps(dict(reversed(fields.items())), separators=(",", ":")).encode(),
        "spaces": json.dumps(fields, sort_keys=True).encode(),
        "too long": canonical_json(fields | {"more": "x" * MAX_RECORD_BYTES}),
        "the other suite claimed": canonical_json(
            {k: v for k, v in fields.items() if k != "suite"}
            | ({"version": 2, "suite": 2} if suite == 1 else {"version": 1})
        ),
    }.items():
        yield vector(name, record, "key")
    for name, value in {
        "a later version": {"version": 3},
        "a later suite": {"version": 2, "suite": 3},
    }.items():
        yield vector(name, canonical_json(fields | value), "version")


FILES: dict[str, Callable[[], object]] = {
    "version_1.json": version_1,
    "suite_2.json": lambda: list(sealed_files(2)),
    "key_records.json": lambda: list(key_records()),
    "openings.json": lambda: list(openings()),
    "journals.json": lambda: list(journals()),
}


def main() -> None:
    """Write what is missing."""
    for name, make in FILES.items():
        path = FOLDER / name
        if not path.exists():
            path.write_text(json.dumps(make(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
