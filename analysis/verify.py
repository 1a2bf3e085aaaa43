"""The `verify` request: sealed files read back to their last byte, and nothing of them kept."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from storage.stream import SealedReader, VaultError

from .errors import MediaError, RequestError

Progress = Callable[[float, str], None]
PIECE = 1 << 20


def verify(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Prove every segment of every file: {"files": [{name, fd, key}]} → {"files": {name: plaintext bytes}}.

    Raises MediaError("not_whole") with the vault's word for what is wrong with the first that does not prove,
    and its name.
    """
    sizes = {}
    files = request["files"]
    for done, entry in enumerate(files):
        progress(done / len(files), "verify")
        try:
            name, fd, key = str(entry["name"]), int(entry["fd"]), base64.b64decode(entry["key"])
        except (KeyError, TypeError, ValueError) as error:
            raise RequestError("a file of the request is incomplete") from error
        try:
            sizes[name] = _read_through(fd, key)
        except (VaultError, OSError) as error:
            kind = error.kind if isinstance(error, VaultError) else "unreadable"
            raise MediaError("not_whole", f"{kind} {name}") from error
    return {"files": sizes}


def _read_through(fd: int, key: bytes) -> int:
    with SealedReader(fd, key) as reader:
        while reader.read(PIECE):
            pass
        return reader.size
