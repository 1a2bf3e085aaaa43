"""What sealed files are called in a vault: `<first three hex of the id>/<id>.<kind>.<name>.fps`.

Flat on purpose: a folder for each recording costs more than the files in it to make, list and remove
(docs/decisions/0012). Three digits keep a folder of a vault of 100,000 recordings at some 150 names.
"""

from __future__ import annotations

import contextlib
import functools
import re
import uuid
from pathlib import Path
from typing import NamedTuple

from storage import disk
from storage.errors import IntegrityError
from storage.segment_format import KINDS, is_name

SUFFIX = ".fps"
MARK = "cold.json"  # on the cold tier it says whose files are there; on the hot one, that there is a cold one
_OWNER = re.compile(r"([0-9a-f]{3})/(\1[0-9a-f]{5}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.")
START_LENGTH = len("22f/22f00000-0000-4000-8000-000000000000.")


class Place(NamedTuple):
    """Which file an object is: whose, `track` or `document`, and its name."""

    owner: uuid.UUID
    kind: str
    name: str


def object_name(owner: uuid.UUID, kind: str, name: str) -> str:
    """What this file is called. Raises IntegrityError("header") for a kind or name that is not allowed."""
    if kind not in KINDS or not is_name(name):
        raise IntegrityError("header", "kind or name is not allowed")
    return f"{prefix_of(owner)}{kind}.{name}{SUFFIX}"


def prefix_of(owner: uuid.UUID) -> str:
    """What the names of all files of a recording begin with, and of no other's."""
    return f"{owner.hex[:3]}/{owner}."


def parse_object_name(name: str) -> Place | None:
    """Which file is called so; None for a name that `object_name` never gives."""
    owner, what = owner_of(name[:START_LENGTH]), what_of(name[START_LENGTH:])
    return Place(owner, what[0], what[1]) if owner is not None and what is not None else None


def is_start(start: str) -> bool:
    """Whether the name of a file of some recording or person may begin so, to its START_LENGTH."""
    return _OWNER.fullmatch(start) is not None


# A vault has a hundred thousand recordings with the same few kinds of file each, one after another.
@functools.lru_cache(maxsize=16)
def owner_of(start: str) -> uuid.UUID | None:
    """Whose file has a name that starts so, to its START_LENGTH; None where no name does."""
    found = _OWNER.fullmatch(start)
    return uuid.UUID(found[2]) if found else None


@functools.lru_cache(maxsize=1024)
def what_of(rest: str) -> tuple[str, str] | None:
    """Kind and name of a file by what follows its start; None where nothing does that is a sealed file."""
    kind, _, name = rest.removesuffix(SUFFIX).partition(".")
    return (kind, name) if rest.endswith(SUFFIX) and kind in KINDS and is_name(name) else None


def adopt_first_layout(root: Path) -> int:
    """Rename the files of `<two hex>/<id>/<kind>/<name>.fps`, as the first vaults had them; returns how many.

    Each rename is whole, so after a crash the next start goes on. What is no sealed file stays for a check to
    name, and so does a link, which is never followed. Nothing else may write below `root` meanwhile.
    """
    count = 0
    with contextlib.suppress(FileNotFoundError):
        for bucket in (path for path in _folders(root) if re.fullmatch("[0-9a-f]{2}", path.name)):
            for recording in _folders(bucket):
                for folder in _folders(recording):
                    count += _adopt(root, folder)
                    _remove_empty(folder)
                _remove_empty(recording)
            _remove_empty(bucket)
        if count:
            disk.sync_folder(root)
    return count


def _folders(parent: Path) -> list[Path]:
    """The folders in it, sorted; a link to one is none: whoever planted it would have others' files moved."""
    return sorted(path for path in parent.glob("*") if path.is_dir() and not path.is_symlink())


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _adopt(root: Path, folder: Path) -> int:
    """Those of one recording and kind."""
    disk.leftovers(folder, remove=True)
    count = 0
    for path in sorted(folder.glob(f"[!.]*{SUFFIX}")):
        with contextlib.suppress(ValueError, IntegrityError):
            owner = uuid.UUID(folder.parent.name)
            target = root / object_name(owner, folder.name, path.name.removesuffix(SUFFIX))
            disk.ensure_folder(target.parent)
            path.rename(target)
            disk.sync_folder(target.parent)
            count += 1
    return count
