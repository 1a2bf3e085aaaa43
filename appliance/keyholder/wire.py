"""What goes over the keyholder's socket: one JSON object a line, bytes as base64, errors by their code."""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from collections.abc import Mapping
from typing import Any

from appliance.errors import (
    AuditUnavailableError,
    ConfigurationError,
    DamagedError,
    DatabaseDoubtfulError,
    DatabaseDownError,
    FupanError,
    InvalidInputError,
    KeyBackupError,
    KeyholderDownError,
    KeyRefusedError,
    LedgerRefusedError,
    NewerFormatError,
    StorageFullError,
    TooManyKeysError,
    VaultLockedError,
)
from appliance.vault_errors import NoVaultError, UnlockError, VaultChangeError

# A signed packet of the largest size, or the openings of every epoch of a recording, as base64.
MAX_LINE_BYTES = 1 << 20
MAX_ITEMS = 256

_ERRORS: dict[str, type[FupanError]] = {
    error.code: error
    for error in (
        AuditUnavailableError,
        ConfigurationError,
        DamagedError,
        DatabaseDoubtfulError,
        DatabaseDownError,
        InvalidInputError,
        KeyBackupError,
        KeyRefusedError,
        KeyholderDownError,
        LedgerRefusedError,
        NewerFormatError,
        NoVaultError,
        StorageFullError,
        TooManyKeysError,
        UnlockError,
        VaultChangeError,
        VaultLockedError,
    )
}


def encode_error(error: FupanError) -> dict[str, Any]:
    """The answer that says what went wrong."""
    return {
        "error": {"code": error.code, "params": {name: str(value) for name, value in error.params.items()}}
    }


def raise_error(answer: Mapping[str, Any]) -> None:
    """Raise what an answer says went wrong, if it says so."""
    if "error" in answer:
        error = answer["error"]
        raise _ERRORS.get(error["code"], KeyholderDownError)(**error["params"])


def to_text(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def to_bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


class Request:
    """One request as it came; every reader raises InvalidInputError for what is missing or misshapen."""

    def __init__(self, line: bytes) -> None:
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            raise InvalidInputError(what="not JSON") from None
        if not isinstance(fields, dict):
            raise InvalidInputError(what="not an object")
        self._fields: dict[str, Any] = fields
        self.operation = self.text("op")

    def text(self, name: str) -> str:
        value = self._fields.get(name)
        if not isinstance(value, str):
            raise InvalidInputError(what=name)
        return value

    def number(self, name: str, low: int, high: int) -> int:
        value = self._fields.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise InvalidInputError(what=name)
        return value

    def uuid(self, name: str) -> uuid.UUID:
        try:
            return uuid.UUID(self.text(name))
        except ValueError:
            raise InvalidInputError(what=name) from None

    def has(self, name: str) -> bool:
        return self._fields.get(name) is not None

    def flag(self, name: str) -> bool:
        """True or False; absent is False."""
        value = self._fields.get(name, False)
        if not isinstance(value, bool):
            raise InvalidInputError(what=name)
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        value = self._fields.get(name)
        if not isinstance(value, dict):
            raise InvalidInputError(what=name)
        return value

    def blobs(self, name: str) -> list[bytes]:
        """A list of byte strings, at most MAX_ITEMS."""
        try:
            return [to_bytes(item) for item in self._items(name)]
        except (TypeError, ValueError, binascii.Error):
            raise InvalidInputError(what=name) from None

    def pairs(self, name: str) -> list[tuple[str, str]]:
        """A list of two texts each, at most MAX_ITEMS."""
        found = []
        for item in self._items(name):
            if not isinstance(item, list) or [type(part) for part in item] != [str, str]:
                raise InvalidInputError(what=name)
            found.append((item[0], item[1]))
        return found

    def _items(self, name: str) -> list[Any]:
        value = self._fields.get(name)
        if not isinstance(value, list) or len(value) > MAX_ITEMS:
            raise InvalidInputError(what=name)
        return value
