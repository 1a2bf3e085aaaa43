"""A pack is believed only when every hash is right; what is wrong with it is said by type."""

from __future__ import annotations

import hashlib
import json

import pytest

from analysis.model_pack import (
    MANIFEST,
    PackDamagedError,
    PackMissingError,
    PackUnknownError,
    load_pack,
)


@pytest.fixture
def folder(tmp_path):
    content = b"weights"
    (tmp_path / "model.onnx").write_bytes(content)
    manifest = {
        "version": "abc",
        "format": 1,
        "engines": {"speech": "vosk"},
        "languages": ["zh"],
        "files": [{"path": "model.onnx", "sha256": hashlib.sha256(content).hexdigest(), "bytes": 7}],
    }
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    return tmp_path


def change(folder, **values):
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | values))


def test_a_whole_pack_loads(folder):
    pack = load_pack(folder)
    assert (pack.version, pack.languages) == ("abc", ["zh"])
    assert (pack.engine("speech"), pack.engine("face")) == ("vosk", "")
    assert pack.path("model.onnx").read_bytes() == b"weights"
    with pytest.raises(PackDamagedError):
        pack.path("other.onnx")


def test_no_pack_and_no_folder_are_the_same(folder, tmp_path):
    (folder / MANIFEST).unlink()
    for place in (folder, tmp_path / "absent", folder / "model.onnx"):
        with pytest.raises(PackMissingError):
            load_pack(place)


def test_an_altered_or_missing_file_is_found(folder):
    (folder / "model.onnx").write_bytes(b"Weights")
    with pytest.raises(PackDamagedError, match=r"model\.onnx"):
        load_pack(folder)
    assert load_pack(folder, verify=False).version == "abc"
    (folder / "model.onnx").unlink()
    with pytest.raises(PackDamagedError, match=r"model\.onnx"):
        load_pack(folder)


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b", ""])
def test_a_manifest_that_points_outside_is_refused(folder, path):
    change(folder, files=[{"path": path, "sha256": "", "bytes": 0}])
    with pytest.raises(PackDamagedError, match="outside"):
        load_pack(folder)


def test_another_format_is_refused_as_unknown(folder):
    change(folder, format=2)
    with pytest.raises(PackUnknownError):
        load_pack(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 1, "files": 3}', "\x00"])
def test_an_unreadable_manifest_is_damage(folder, text):
    (folder / MANIFEST).write_text(text)
    with pytest.raises(PackDamagedError):
        load_pack(folder)
