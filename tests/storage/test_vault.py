"""The vault's folder: drafts, names, documents, and what `check` says of it."""

from __future__ import annotations

import os
import tempfile
import uuid
from pathlib import Path

import pytest

from storage.check import check, check_keys
from storage.keys import derive_file_key, new_key, wrap
from storage.layout import object_name
from storage.vault import (
    IntegrityError,
    KeyStore,
    NotFound,
    Objects,
    SealedHeader,
    Vault,
    adopt_first_layout,
    new_header,
)
from tests.storage.builders import RECORDING, RECORDING_KEY, VAULT


@pytest.fixture
def vault(objects: Objects) -> Vault:
    return Vault(objects)


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
    assert [stored.name for stored in vault.hot.list()] == [f"222/{RECORDING}.track.camera.fps"]


def test_a_discarded_draft_leaves_nothing(vault: Vault) -> None:
    with vault.begin(RECORDING, "track", "camera") as draft:
        os.write(draft.fd, b"x")
    draft.discard()
    assert list(vault.hot.list()) == []


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
    assert check(vault) == []


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
    assert list(vault.contents()) == [(RECORDING, vault.list(RECORDING))]
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


def test_a_crashed_writers_file_is_named_and_tidied_and_a_live_ones_is_not(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    live, folder = vault.begin(RECORDING, "track", "camera"), tmp_path / "222"
    crashed = folder / f".{RECORDING}.track.camera.fps.deadbeef.tmp"
    crashed.write_bytes(b"half")
    findings = check(vault)
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
    assert check(vault, full=True, file_key=key_of) == []
    camera, whole = object_name(RECORDING, "track", "camera"), raw(vault, "track", "camera")

    def kinds(full: bool = False) -> list[str]:
        return [finding.kind for finding in check(vault, full, key_of) if not finding.harmless]

    put(vault.hot, camera, whole[:70_000] + b"\0" + whole[70_001:])
    assert (kinds(), kinds(full=True)) == ([], ["segment"])
    put(vault.hot, camera, whole[:-1])
    assert (kinds(), kinds(full=True)) == ([], ["last_segment"])
    put(vault.hot, camera, whole[:50])
    assert kinds() == ["header"]
    put(vault.hot, camera, b"FPS1\2" + whole[5:])
    assert kinds() == ["version"]
    vault.hot.remove(camera)
    put(vault.hot, object_name(RECORDING, "track", "screen"), whole)
    put(vault.hot, "notes.txt", b"x")
    assert sorted(kinds()) == sorted(kinds(full=True)) == ["stranger", "wrong_place"]


def test_a_link_in_the_vault_is_named_and_never_followed(tmp_path: Path) -> None:
    """Whatever it points to: as the file, as the folder it is in, or as a folder of another vault."""
    outside, vault = Vault(tmp_path / "outside"), Vault(tmp_path / "vault")
    header = seal(outside, b"planted")
    planted, place = outside.path(RECORDING, "track", "camera"), vault.path(RECORDING, "track", "camera")

    def refused() -> None:
        for read in (
            lambda: vault.header_of(RECORDING, "track", "camera"),
            lambda: vault.open_fd(RECORDING, "track", "camera"),
            lambda: vault.open_sealed(RECORDING, "track", "camera", key_of(header)),
        ):
            with pytest.raises(IntegrityError, match="stranger"):
                read()
        assert vault.list(RECORDING) == list(vault.recordings()) == []
        assert [finding.kind for finding in check(vault)] == ["stranger"]

    place.parent.mkdir(parents=True)
    place.symlink_to(planted)
    refused()
    seal(vault, b"ours")  # a write takes the link's place
    assert planted.read_bytes() != place.read_bytes()
    assert not place.is_symlink()
    place.unlink()
    place.parent.rmdir()
    place.parent.symlink_to(planted.parent)
    refused()
    before = planted.read_bytes()
    with pytest.raises(IntegrityError, match="stranger"):
        seal(vault, b"ours")
    with pytest.raises(IntegrityError, match="stranger"):
        vault.hot.remove(object_name(RECORDING, "track", "camera"))
    assert [path.read_bytes() for path in planted.parent.iterdir()] == [before]


def test_what_is_no_file_is_neither_read_nor_waited_for(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    place = vault.path(RECORDING, "track", "camera")
    place.parent.mkdir()
    os.mkfifo(place)
    with pytest.raises(IntegrityError, match="stranger"):
        vault.header_of(RECORDING, "track", "camera")
    assert [finding.kind for finding in check(vault)] == ["stranger"]


def test_the_first_layout_is_adopted(tmp_path: Path) -> None:
    """Folders for each recording and kind, as the first vaults had them."""
    vault, other = Vault(tmp_path / "new"), uuid.uuid4()
    seal(vault, b"media")
    seal(vault, b"words", "document", "transcript.v1")
    root = tmp_path / "old"
    for owner in (RECORDING, other):
        for kind, name in (("track", "camera"), ("document", "transcript.v1")):
            folder = root / owner.hex[:2] / str(owner) / kind
            folder.mkdir(parents=True)
            (folder / f"{name}.fps").write_bytes(raw(vault, kind, name))
    (root / RECORDING.hex[:2] / str(RECORDING) / "track" / ".camera.fps.deadbeef.tmp").write_bytes(b"half")
    strange = root / other.hex[:2] / str(other) / "notes.txt"
    strange.write_text("x")
    assert adopt_first_layout(root) == 4
    adopted = Vault(root)
    assert list(adopted.recordings()) == sorted([RECORDING, other])
    assert raw(adopted, "track", "camera") == raw(vault, "track", "camera")
    assert [str(f.path) for f in check(adopted) if f.kind == "stranger"] == [str(strange)]
    assert adopt_first_layout(root) == adopt_first_layout(tmp_path / "none") == 0
    assert sorted(path.name for path in root.iterdir()) == sorted({"222", other.hex[:3], other.hex[:2]})


@pytest.mark.parametrize("depth", [0, 1, 2], ids=["bucket", "recording", "kind"])
def test_adopting_the_first_layout_follows_no_link(tmp_path: Path, depth: int) -> None:
    """Others' files behind it are not moved, and their empty folders stay."""
    inside = Path(RECORDING.hex[:2], str(RECORDING), "track")
    outside, root = tmp_path / "outside", tmp_path / "vault"
    (outside / inside).mkdir(parents=True)
    (outside / inside / "camera.fps").write_bytes(b"theirs")
    for empty in ("22/empty", f"22/{RECORDING}/empty", f"22/{RECORDING}/track/empty"):
        (outside / empty).mkdir()
    before = sorted(outside.rglob("*"))
    planted = Path(*inside.parts[: depth + 1])
    (root / planted).parent.mkdir(parents=True)
    (root / planted).symlink_to(outside / planted)
    assert adopt_first_layout(root) == 0
    assert sorted(outside.rglob("*")) == before
    assert (root / planted).is_symlink()
    assert "stranger" in [finding.kind for finding in check(root)]


def put(objects: Objects, name: str, data: bytes) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        objects.put(name, file.fileno())


def raw(vault: Vault, kind: str, name: str) -> bytes:
    """The bytes of a file as they are stored."""
    fd = vault.open_fd(RECORDING, kind, name)
    with os.fdopen(fd, "rb") as file:
        return file.read()


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
