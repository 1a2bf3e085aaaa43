"""A model pack on disk: a folder of files with a manifest that names each with its SHA-256.

Nothing of a pack is used before every hash is right. Light on purpose: the builder and the command line
import it too.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

MANIFEST = "manifest.json"
FORMAT = 1
MANIFEST_LIMIT = 1 << 20


class ModelPackError(Exception):
    """A pack that cannot be used."""

    kind = "model_pack"


class PackMissingError(ModelPackError):
    """There is no pack in this folder."""

    kind = "no_model_pack"


class PackDamagedError(ModelPackError):
    """The manifest is unreadable, a file is missing, or a hash is wrong."""

    kind = "model_pack_damaged"


class PackUnknownError(ModelPackError):
    """The pack is of a format or has engines that this version does not know."""

    kind = "model_pack_unknown"


@dataclass(frozen=True)
class ModelPack:
    """A pack whose manifest has been read; `load_pack` checks the files."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def version(self) -> str:
        """Short hash of the contents; every signal and report carries it."""
        return str(self.manifest["version"])

    @property
    def languages(self) -> list[str]:
        """Languages the speech engine of this pack is good for."""
        return list(self.manifest["languages"])

    def engine(self, need: str) -> str:
        """Name of the engine for `speech`, `voice_activity` or `face`; empty if the pack has none."""
        return str(self.manifest["engines"].get(need, ""))

    def path(self, relative: str) -> Path:
        """A file that the manifest lists. Raises PackDamagedError for any other."""
        if all(entry["path"] != relative for entry in self.manifest["files"]):
            raise PackDamagedError(f"the pack has no {relative}")
        return self.folder / relative


def load_pack(folder: Path, *, verify: bool = True) -> ModelPack:
    """Read and check the pack in `folder`. Raises a ModelPackError."""
    try:
        with (folder / MANIFEST).open("rb") as stream:
            text = stream.read(MANIFEST_LIMIT + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise PackMissingError(f"there is no model pack in {folder}") from None
    except OSError as error:
        raise PackDamagedError(f"the manifest cannot be read: {error.strerror}") from error
    if len(text) > MANIFEST_LIMIT:
        raise PackDamagedError("the manifest is too large")
    try:
        manifest = json.loads(text)
        if not isinstance(manifest, dict):
            raise TypeError("not an object")
        pack = ModelPack(folder, manifest)
        if manifest["format"] != FORMAT:
            raise PackUnknownError(f"pack format {manifest['format']!r} is not known")
        for entry in manifest["files"]:
            _check_name(entry["path"])
        _ = pack.version, pack.languages, pack.engine("speech")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PackDamagedError(f"the manifest is unreadable: {error}") from error
    if verify:
        for entry in manifest["files"]:
            _check_file(folder, entry)
    return pack


def _check_name(name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise PackDamagedError(f"the manifest names a file outside the pack: {name!r}")


def _check_file(folder: Path, entry: dict[str, Any]) -> None:
    path = folder / entry["path"]
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise PackDamagedError(f"{entry['path']} cannot be read: {error.strerror}") from error
    if digest != entry["sha256"]:
        raise PackDamagedError(f"{entry['path']} is not the file that the manifest names")
