"""Promise: nothing can be cut, moved, repeated or swapped: it is refused by the name of the failure."""

from __future__ import annotations

import itertools
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.errors import IntegrityError
from storage.keys import derive_file_key
from storage.opening import wire_digest
from storage.segment_format import SealedHeader, new_header
from storage.stream import EpochReader, Gap
from storage.suites import SUITES
from storage.vault import Vault
from tests.storage import builders

pytestmark = pytest.mark.promise
Record = Callable[[str, object], None]
EVERY_SUITE = pytest.mark.parametrize("suite", SUITES)
START, STEP = len(builders.header().raw), 80


def _refused(path: Path, data: bytes, *kinds: str, key: bytes = builders.RECORDING_KEY) -> None:
    path.write_bytes(data)
    with pytest.raises(IntegrityError) as raised:
        builders.open_whole(path, key)
    assert raised.value.kind in kinds


@EVERY_SUITE
def test_every_truncation_of_a_sealed_file_is_refused(
    tmp_path: Path, suite: int, record_property: Record
) -> None:
    path = tmp_path / "f"
    data = builders.seal(path, bytes(64 * 3 + 20), builders.header(suite=suite))
    for length in range(len(data)):
        _refused(path, data[:length], "header" if length < START else "size", "last_segment")
    record_property("figure", f"suite {suite}: {len(data)} of {len(data)} truncations refused")


@EVERY_SUITE
def test_segments_cannot_be_swapped_repeated_dropped_or_added(
    tmp_path: Path, suite: int, record_property: Record
) -> None:
    path = tmp_path / "f"
    data = builders.seal(path, bytes(64 * 4), builders.header(suite=suite))
    header, body = data[:START], data[START:]
    a, b, c, d = (body[at : at + STEP] for at in range(0, len(body), STEP))
    _refused(path, header + b + a + c + d, "segment")
    _refused(path, header + a + a + c + d, "segment")
    _refused(path, header + a + c + d, "segment", "last_segment")
    _refused(path, header + a + b + c, "last_segment")
    _refused(path, header + a + b + d + c, "last_segment")
    _refused(path, data + d, "last_segment")
    _refused(path, data + b"\0", "size", "last_segment")
    _refused(path, data + bytes(16), "size")
    other = builders.seal(path, bytes(64 * 4), builders.header(suite=suite))
    _refused(path, header + a + other[START + STEP : START + 2 * STEP] + c + d, "segment")
    _refused(path, other[:START] + body, "last_segment")
    orders = 0
    for order in itertools.product(range(4), repeat=4):
        if order != (0, 1, 2, 3):
            moved = b"".join(body[i * STEP : (i + 1) * STEP] for i in order)
            _refused(path, header + moved, "segment", "last_segment")
            orders += 1
    record_property("figure", f"suite {suite}: {orders} of {orders} other orders of four segments refused")


@EVERY_SUITE
def test_a_file_does_not_open_in_another_suite(tmp_path: Path, suite: int) -> None:
    path = tmp_path / "f"
    data = builders.seal(path, b"x" * 100, builders.header(suite=suite))
    for other in range(256):
        if other != suite:
            kind = "last_segment" if other in SUITES else "version"
            _refused(path, data[:5] + bytes([other]) + data[6:], kind)
    for version in range(256):
        if version != data[4]:
            _refused(path, data[:4] + bytes([version]) + data[5:], "version")
    with pytest.raises(IntegrityError, match="made by a newer Fupan"):
        builders.open_whole(path)


@EVERY_SUITE
def test_a_file_opens_only_as_what_it_is(tmp_path: Path, suite: int) -> None:
    vault = Vault(tmp_path)
    other_recording = uuid.uuid4()

    def seal(owner: uuid.UUID, kind: str, name: str, text: bytes = b"x") -> SealedHeader:
        header = new_header(builders.VAULT, owner, kind, name, suite)
        with vault.begin(owner, kind, name) as draft:
            with draft.writer(header, derive_file_key(builders.RECORDING_KEY, header)) as writer:
                writer.write(text)
            draft.commit()
        return header

    def open_with(
        key: bytes, owner: uuid.UUID, kind: str, name: str, expect: SealedHeader | None = None
    ) -> None:
        vault.open_sealed(owner, kind, name, key, expect).close()

    camera = (builders.RECORDING, "track", "camera")
    header = seal(*camera)
    key = derive_file_key(builders.RECORDING_KEY, header)
    for place in (
        (builders.RECORDING, "track", "screen"),
        (builders.RECORDING, "document", "camera"),
        (other_recording, "track", "camera"),
    ):
        seal(*place)
        shutil.copy(vault.path(*camera), vault.path(*place))
        with pytest.raises(IntegrityError, match="wrong_place"):
            vault.header_of(*place)
        with pytest.raises(IntegrityError, match="wrong_place"):
            open_with(key, *place)
    with pytest.raises(IntegrityError, match="last_segment"):
        open_with(derive_file_key(bytes(32), header), *camera)

    older = vault.path(*camera).read_bytes()
    newer = seal(*camera, b"y")
    vault.path(*camera).write_bytes(older)
    with pytest.raises(IntegrityError, match="replaced"):
        open_with(key, *camera, expect=newer)
    with pytest.raises(IntegrityError, match="last_segment"):
        open_with(derive_file_key(builders.RECORDING_KEY, newer), *camera)


def test_chunks_cannot_be_moved_to_another_number_epoch_or_opening(tmp_path: Path) -> None:
    made, other = builders.epoch([b"one", b"two", b"three"]), builders.epoch([b"uno", b"due", b"tre"])
    swapped = [
        (0, 0, made.bodies[1]),
        (1, 0, made.bodies[0]),
        (2, 0, other.bodies[2]),
        (3, 1, made.bodies[2]),
    ]
    journal = builders.journal_of(tmp_path / "j")
    for n, flag, body in swapped:
        digest = wire_digest(made.opening.raw + body.ciphertext)
        journal.append(made.opening.epoch, n, flag, made.opening.raw, body.ciphertext, digest)
    with EpochReader(tmp_path / "j", made.opening.epoch, made.key, made.opening) as reader:
        assert (reader.read(), reader.gaps, reader.end_record) == (b"", [Gap(0, 2, "unopenable")], None)
    whole = builders.journal_of(tmp_path / "k", made)
    with EpochReader(whole.path, made.opening.epoch, made.key, other.opening) as reader:
        assert reader.gaps == [Gap(0, 2, "unopenable")]
