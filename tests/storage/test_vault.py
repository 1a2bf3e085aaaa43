"""The vault's folder: drafts, names, documents, and what `check` says of it."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from storage.check import check, check_keys
from storage.keys import derive_file_key, new_key, wrap
from storage.vault import (
    IntegrityError,
    KeyStore,
    NotFound,
    SealedHeader,
    Vault,
    new_header,
)
from tests.storage.builders import RECORDING, RECORDING_KEY, VAULT


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "vault")


def key_of(header: SealedHeader) -> bytes:
    return derive_file_key(RECORDING_KEY, header)


def seal(vault: Vault, data: bytes, kind: str = "track", name: str = "camera") -> SealedHeader:
    header = new_header(VAULT, RECORDING, kind, name)
    with vault.begin(RECORDING, kind, name) as draft:
        with draft.writer(header.raw, key_of(header)) as writer:
            writer.write(data)
        draft.commit()
    return header


def test_a_draft_is_nothing_until_its_commit(vault: Vault) -> None:
    header = new_header(VAULT, RECORDING, "track", "camera")
    with vault.begin(RECORDING, "track", "camera") as draft:
        with draft.writer(header, key_of(header)) as writer:
            writer.write(b"media")
        with pytest.raises(NotFound):
            vault.header_of(RECORDING, "track", "camera")
        draft.commit()
    assert vault.header_of(RECORDING, "track", "camera") == header
    with vault.open_sealed(RECORDING, "track", "camera", key_of(header)) as reader:
        assert reader.read() == b"media"
    assert (
        vault.path(RECORDING, "track", "camera")
        == vault.root / "22" / str(RECORDING) / "track" / "camera.fps"
    )
    assert [path.name for path in vault.root.rglob("*") if path.is_file()] == ["camera.fps"]
    assert vault.path(RECORDING, "track", "camera").stat().st_mode & 0o777 == 0o600


def test_a_discarded_draft_leaves_nothing(vault: Vault) -> None:
    with vault.begin(RECORDING, "track", "camera") as draft:
        os.write(draft.fd, b"x")
    draft.discard()
    assert not [path for path in vault.root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("wrong", ["empty", "other name", "unfinished"])
def test_what_is_no_whole_file_of_its_name_is_not_committed(vault: Vault, wrong: str) -> None:
    header = new_header(VAULT, RECORDING, "track", "screen" if wrong == "other name" else "camera")
    with vault.begin(RECORDING, "track", "camera") as draft:
        writer = draft.writer(header, key_of(header))
        if wrong != "empty":
            writer.write(bytes(70_000))
        if wrong == "unfinished":
            writer.abandon()
        writer.close()
        if wrong == "empty":
            os.ftruncate(draft.fd, 0)
        with pytest.raises(IntegrityError):
            draft.commit()
    assert vault.list(RECORDING) == []
    assert check(vault.root) == []


def test_documents_and_lists(vault: Vault) -> None:
    for name, text in (("transcript.v1", b"[]"), ("transcript.v2", b"[1]"), ("peaks", b"")):
        header = new_header(VAULT, RECORDING, "document", name)
        vault.write_document(RECORDING, name, header.raw, key_of(header), text)
        assert vault.read_document(RECORDING, name, key_of(header)) == text
    seal(vault, b"media")
    assert [(f.kind, f.name) for f in vault.list(RECORDING)] == [
        ("document", "peaks"),
        ("document", "transcript.v1"),
        ("document", "transcript.v2"),
        ("track", "camera"),
    ]
    assert list(vault.recordings()) == [RECORDING]
    assert vault.list(uuid.uuid4()) == []
    with pytest.raises(NotFound):
        vault.read_document(RECORDING, "report", RECORDING_KEY)
    with pytest.raises(NotFound):
        vault.open_fd(uuid.uuid4(), "track", "camera")


@pytest.mark.parametrize("name", ["../../x", "", "Camera", ".x", "a/b"])
def test_a_name_that_is_unsafe_on_disk_is_refused(vault: Vault, name: str) -> None:
    with pytest.raises(IntegrityError, match="header"):
        vault.path(RECORDING, "track", name)
    with pytest.raises(IntegrityError, match="header"):
        vault.begin(RECORDING, name, "camera")


def test_a_crashed_writers_file_is_named_and_tidied_and_a_live_ones_is_not(vault: Vault) -> None:
    live = vault.begin(RECORDING, "track", "camera")
    folder = live.path.parent
    crashed = folder / ".camera.fps.deadbeef.tmp"
    crashed.write_bytes(b"half")
    findings = check(vault.root)
    assert [(f.path, f.kind, f.harmless) for f in findings] == [(crashed, "leftover", True)]
    vault.begin(RECORDING, "track", "screen").discard()
    assert not crashed.exists()
    assert len(list(folder.iterdir())) == 1
    crashed.write_bytes(b"half")
    vault.tidy(RECORDING)
    assert len(list(folder.iterdir())) == 1
    live.discard()


def test_check_names_each_kind_of_damage(vault: Vault) -> None:
    seal(vault, bytes(200_000))
    seal(vault, b"doc", "document", "transcript.v1")
    assert check(vault.root, full=True, file_key=key_of) == []
    camera = vault.path(RECORDING, "track", "camera")
    whole = camera.read_bytes()

    def kinds(full: bool = False) -> list[str]:
        return [finding.kind for finding in check(vault.root, full, key_of) if not finding.harmless]

    camera.write_bytes(whole[:70_000] + b"\0" + whole[70_001:])
    assert (kinds(), kinds(full=True)) == ([], ["segment"])
    camera.write_bytes(whole[:-1])
    assert (kinds(), kinds(full=True)) == ([], ["last_segment"])
    camera.write_bytes(whole[:50])
    assert kinds() == ["header"]
    camera.write_bytes(b"FPS1\2" + whole[5:])
    assert kinds() == ["version"]
    camera.write_bytes(whole)
    moved = camera.with_name("screen.fps")
    camera.rename(moved)
    assert kinds() == ["wrong_place"]
    moved.rename(camera)
    (vault.root / "notes.txt").write_text("x")
    (vault.root / "link").symlink_to(camera)
    assert kinds() == ["stranger", "stranger"]
    assert [f.kind for f in check(vault.root, full=True) if not f.harmless] == ["stranger", "stranger"]


def test_check_names_damaged_keys(tmp_path: Path) -> None:
    store = KeyStore(tmp_path / "keys")
    for name in ("r1", "r2"):
        store.put(
            "recording", name, wrap(RECORDING_KEY, kind="recording", key_id=name, parent="v", key=new_key())
        )
    assert check_keys(store.root) == []
    store.path("recording", "r1").write_bytes(b"{}")
    store.path("recording", "r2").rename(store.path("recording", "r3"))
    assert [(f.path.name, f.kind) for f in check_keys(store.root)] == [("r1.key", "key"), ("r3.key", "key")]
