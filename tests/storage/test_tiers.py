"""Two tiers: reads that find a file on either, and moves that never leave it on none."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from storage import disk
from storage.check import check
from storage.errors import IntegrityError, NotFound, StoreDown
from storage.layout import MARK, object_name
from storage.objects import DiskObjects, Objects
from storage.tiers import claim_cold, copy_files, drop_files
from storage.vault import Vault
from tests.storage.builders import RECORDING, VAULT
from tests.storage.test_vault import key_of, put, raw, seal
from tests.support import seaweedfs

CAMERA = object_name(RECORDING, "track", "camera")
Make = Callable[[str], Objects]


@pytest.fixture(params=["disk disk", "disk s3", "s3 disk", "s3 s3"])
def vault(request: pytest.FixtureRequest, tmp_path: Path) -> Vault:
    """A vault on two tiers of these kinds, with two files on the hot one."""

    def store(kind: str, name: str) -> Objects:
        if kind == "disk":
            return DiskObjects(tmp_path / name)
        seaweed: seaweedfs.Store = request.getfixturevalue("seaweed")
        return seaweed.objects(tmp_path / "scratch")

    hot, cold = request.param.split()
    made = Vault(store(hot, "hot"), store(cold, "cold"))
    seal(made, bytes(200_000))
    seal(made, b"words", "document", "transcript.v1")
    claim_cold(made, VAULT)
    return made


def tiers(vault: Vault) -> list[tuple[str, str]]:
    return [(file.name, file.tier) for file in vault.list(RECORDING)]


def move(vault: Vault, to: str) -> int:
    copied = list(copy_files(vault, RECORDING, to))
    drop_files(vault, RECORDING, "cold" if to == "hot" else "hot", copied)
    return len(copied)


def test_a_recording_is_read_wherever_it_lies(vault: Vault) -> None:
    header, before = vault.header_of(RECORDING, "track", "camera"), raw(vault, "track", "camera")
    for to in ("cold", "hot", "cold"):
        assert move(vault, to) == 2
        assert tiers(vault) == [("transcript.v1", to), ("camera", to)]
        assert list(vault.recordings()) == [RECORDING]
        assert vault.tier_of(RECORDING, "track", "camera") == to
        assert raw(vault, "track", "camera") == before
        with vault.open_sealed(RECORDING, "track", "camera", key_of(header), expect=header) as reader:
            assert reader.read_range(70_000, 140_000) == bytes(70_000)
        assert check(vault, full=True, file_key=key_of) == []
        assert move(vault, to) == 0
    seal(vault, b"later", "document", "note.v1")  # what is written goes to the hot tier
    assert tiers(vault) == [("note.v1", "hot"), ("transcript.v1", "cold"), ("camera", "cold")]
    assert list(vault.contents()) == [(RECORDING, vault.list(RECORDING))]


def test_what_was_written_since_stays_where_it_is(vault: Vault) -> None:
    copied = list(copy_files(vault, RECORDING, "cold"))
    seal(vault, b"later", "document", "note.v1")
    drop_files(vault, RECORDING, "hot", copied)
    assert tiers(vault) == [("note.v1", "hot"), ("transcript.v1", "cold"), ("camera", "cold")]


def test_a_move_that_was_cut_short_is_named_and_ended(vault: Vault) -> None:
    before = raw(vault, "track", "camera")
    first = next(copy_files(vault, RECORDING, "cold"))
    assert first.bytes == len(raw(vault, first.kind, first.name))
    assert [(finding.kind, finding.harmless) for finding in check(vault)] == [("twice", True)]
    assert tiers(vault) == [("transcript.v1", "hot"), ("camera", "hot")]
    assert move(vault, "cold") == 2
    assert check(vault) == []
    assert raw(vault, "track", "camera") == before


def test_what_a_killed_move_renamed_lasts_before_its_source_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = Vault(tmp_path / "hot", DiskObjects(tmp_path / "cold"))
    seal(vault, bytes(200_000))
    with monkeypatch.context() as patch:  # killed before each fsync of a folder, and begun once more
        patch.setattr(disk, "sync_folder", lambda path: None)
        claim_cold(vault, VAULT)
        list(copy_files(vault, RECORDING, "cold"))
    lasting: list[Path] = []
    real = DiskObjects.remove

    def remove(self: DiskObjects, name: str) -> None:
        assert {tmp_path, tmp_path / "cold", (tmp_path / "cold" / CAMERA).parent} <= {*lasting}
        real(self, name)

    monkeypatch.setattr(disk, "sync_folder", lasting.append)
    monkeypatch.setattr(DiskObjects, "remove", remove)
    assert move(vault, "cold") == 1
    assert tiers(vault) == [("camera", "cold")]


def test_a_file_that_is_damaged_is_not_moved(vault: Vault) -> None:
    whole = raw(vault, "track", "camera")
    put(vault.hot, CAMERA, whole[:20])
    with pytest.raises(IntegrityError, match="header"):
        list(copy_files(vault, RECORDING, "cold"))
    put(vault.hot, CAMERA, raw(vault, "document", "transcript.v1"))
    with pytest.raises(IntegrityError, match="wrong_place"):
        list(copy_files(vault, RECORDING, "cold"))
    assert not vault.cold.exists(CAMERA)


def test_another_file_of_the_name_is_neither_written_over_nor_trusted(vault: Vault) -> None:
    whole = raw(vault, "track", "camera")
    put(vault.cold, CAMERA, whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(IntegrityError, match="replaced"):
        list(copy_files(vault, RECORDING, "cold"))
    assert raw(vault, "track", "camera") == whole
    vault.hot.remove(CAMERA)
    assert raw(vault, "track", "camera") != whole


def test_nothing_is_removed_that_the_other_tier_has_not(vault: Vault) -> None:
    copied = list(copy_files(vault, RECORDING, "cold"))
    vault.cold.remove(CAMERA)
    with pytest.raises(NotFound):
        drop_files(vault, RECORDING, "hot", copied)
    assert vault.hot.exists(CAMERA)


def test_a_reading_goes_on_while_its_file_moves(vault: Vault) -> None:
    header = vault.header_of(RECORDING, "track", "camera")
    with vault.open_sealed(RECORDING, "track", "camera", key_of(header)) as reader:
        assert reader.read_range(0, 10) == bytes(10)
        for to in ("cold", "hot", "cold"):
            move(vault, to)
            assert reader.read_range(100_000, 150_000) == bytes(50_000)


def test_a_copy_that_arrived_otherwise_is_found_by_reading_it_back(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should a store keep something else than it was sent and say that all is well."""
    real = type(vault.cold).put

    def lossy(self: Objects, name: str, fd: int) -> None:
        real(self, name, fd)
        with contextlib.closing(self.open(name)) as source:
            kept = source.read_at(source.size, 0)
        monkeypatch.undo()
        put(self, name, kept[:-1] + bytes([kept[-1] ^ 1]))

    monkeypatch.setattr(type(vault.cold), "put", lossy)
    with pytest.raises(IntegrityError, match="replaced"):
        list(copy_files(vault, RECORDING, "cold"))
    assert tiers(vault) == [("transcript.v1", "hot"), ("camera", "hot")]


# --- a cold tier that is not there -------------------------------------------------------------------------


def test_a_cold_disk_that_is_not_mounted_is_no_loss(tmp_path: Path) -> None:
    """Its folder is there and empty: nothing is missing, and nothing is written into it."""
    cold = tmp_path / "cold"
    cold.mkdir()
    vault = Vault(tmp_path / "hot", DiskObjects(cold))
    with pytest.raises(NotFound):  # no cold tier was used yet, so what is missing is
        vault.open_fd(RECORDING, "track", "camera")
    seal(vault, b"media")
    claim_cold(vault, VAULT)
    move(vault, "cold")
    mounted = shutil.move(cold, tmp_path / "elsewhere")
    for there in (False, True):
        if there:
            cold.mkdir()
        with pytest.raises(StoreDown, match=r"missing: recordings were moved to .*cold"):
            vault.open_fd(RECORDING, "track", "camera")
        with pytest.raises(StoreDown, match="missing"):
            claim_cold(vault, VAULT)
        assert [finding.kind for finding in check(vault) if not finding.harmless] == ["missing"]
    with pytest.raises(StoreDown, match="do not name now"):
        Vault(tmp_path / "hot").open_fd(RECORDING, "track", "camera")
    cold.rmdir()
    shutil.move(mounted, cold)
    claim_cold(vault, VAULT)
    assert vault.tier_of(RECORDING, "track", "camera") == "cold"
    assert check(vault) == []


def test_another_vaults_cold_tier_is_refused(tmp_path: Path) -> None:
    cold = DiskObjects(tmp_path / "cold")
    claim_cold(Vault(tmp_path / "ours", cold), VAULT)
    claim_cold(Vault(tmp_path / "ours", cold), VAULT)
    with pytest.raises(StoreDown, match="another vault"):
        claim_cold(Vault(tmp_path / "theirs", cold), uuid.uuid4())
    assert not (tmp_path / "theirs" / MARK).exists()


def test_a_store_that_is_away_keeps_no_check_from_the_other_tier(
    tmp_path: Path, seaweed: seaweedfs.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.s3.BACKOFF_SECONDS", 0.01)
    away = seaweed.objects(tmp_path / "scratch", endpoint="http://127.0.0.1:1")
    vault = Vault(tmp_path / "hot", away)
    seal(vault, b"media")
    place = vault.path(RECORDING, "track", "camera")
    place.write_bytes(place.read_bytes()[:-1])
    os.mkfifo(tmp_path / "hot" / "pipe")
    assert {finding.kind for finding in check(vault, full=True, file_key=key_of)} == {
        "last_segment",
        "stranger",
        "unreachable",
    }
    assert len(list(itertools.islice(vault.hot.list(), 5))) == 2
