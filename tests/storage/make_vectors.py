"""Writes tests/storage/vectors/version_1.json: what version 1 made, and what it must refuse, by which name.

Run once for a version (`python -m tests.storage.make_vectors`) and never again: old files must open for ever.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from storage.keys import new_day_key, wrap
from storage.suites import TAG_BYTES
from tests.storage import builders

PATH = Path(__file__).parent / "vectors" / "version_1.json"
SIZES = [0, 1, 63, 64, 65, 127, 128, 129, 192, 500]


def _sealed_files(folder: Path) -> Iterator[dict[str, Any]]:
    rng = random.Random(1)

    def vector(
        name: str, data: bytes, plain: bytes | None = None, failure: str | None = None
    ) -> dict[str, Any]:
        expected = {"failure": failure} if plain is None else {"plaintext": plain.hex()}
        return {"name": name, "data": data.hex(), "key": builders.RECORDING_KEY.hex()} | expected

    for kind, file_name in (("track", "camera"), ("document", "transcript.v1")):
        for size in SIZES:
            plain = rng.randbytes(size)
            head = builders.header(kind=kind, name=file_name, salt=rng.randbytes(32))
            yield vector(f"{kind} of {size} bytes", builders.seal(folder / "f", plain, head), plain)
    plain, head = rng.randbytes(64 * 3 + 10), builders.header()
    good = builders.seal(folder / "f", plain, head)
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


def main() -> None:
    """Write the vectors."""
    day_private, day_public = new_day_key()
    made = builders.epoch([b"first", b"", b"third" * 20], recipients={"2026-11-22": day_public})
    with tempfile.TemporaryDirectory() as folder:
        sealed = list(_sealed_files(Path(folder)))
        journal = builders.journal_of(Path(folder) / "j", made).path.read_bytes()
    parent, key = bytes(range(32)), bytes(range(32, 64))
    record = wrap(parent, kind="day", key_id="2026-11-22", parent="vault", key=key, public=day_public)
    vectors = {
        "sealed": sealed,
        "epoch": {
            "journal": journal.hex(),
            "day_private": day_private.hex(),
            "plaintexts": [plaintext.hex() for plaintext in made.plaintexts],
        },
        "key": {"record": record.decode(), "parent": parent.hex(), "key": key.hex()},
    }
    PATH.write_text(json.dumps(vectors, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
