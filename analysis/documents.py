"""Sealed documents: canonical JSON in and out of sealed files."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from storage.stream import SealedReader, SealedWriter, VaultError

from .errors import MediaError, OutputError, RequestError

LARGEST_DOCUMENT = 64 << 20


@dataclass(frozen=True)
class Output:
    """Where one sealed file goes; header and key serve this one write."""

    fd: int
    header: bytes
    key: bytes = field(repr=False)

    @classmethod
    def from_request(cls, entry: dict[str, Any]) -> Output:
        """Read the fields of a request. Raises RequestError."""
        try:
            fd = entry["out_fd"] if "out_fd" in entry else entry["fd"]
            key = entry["out_key"] if "out_key" in entry else entry["key"]
            return cls(int(fd), base64.b64decode(entry["header"]), base64.b64decode(key))
        except (KeyError, TypeError, ValueError) as error:
            raise RequestError("an output of the request is incomplete") from error


def canonical(value: object) -> bytes:
    """Canonical JSON: sorted keys, no spaces, UTF-8; never NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def write_document(output: Output, document: dict[str, Any]) -> int:
    """Seal `document` and return its plaintext size in bytes. Raises OutputError."""
    try:
        data = canonical(document)
        with SealedWriter(output.fd, output.header, output.key, head_budget=0) as writer:
            writer.write(data)
    except (VaultError, OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise OutputError("a document could not be written", error) from error
    return len(data)


def read_document(fd: int, key: bytes) -> dict[str, Any]:
    """Open a sealed document. Raises MediaError("document")."""
    try:
        with SealedReader(fd, key) as reader:
            if reader.size > LARGEST_DOCUMENT:
                raise MediaError("document", "the document is too large")
            document = json.loads(reader.read())
    except (VaultError, OSError, ValueError) as error:
        raise MediaError("document", "a sealed document cannot be read") from error
    if not isinstance(document, dict):
        raise MediaError("document", "a sealed document is not an object")
    return document
