"""Key records as files, apart from media and database: `<root>/<kind>/<id>.key`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from storage import disk
from storage.errors import Destroyed, IntegrityError, NotFound
from storage.keys import MAX_RECORD_BYTES, KeyRecord, check_name, is_key_id, parse_record

SUFFIX = ".key"


class KeyStore:
    """Wrapped keys on disk. A record is written once; only who names it by its digest may replace it."""

    def __init__(self, root: Path | str) -> None:
        """`root`: the `keys` folder; made by the first `put`."""
        self.root = Path(root)
        # A key that was erased is neither made nor given again, even should its record be there.
        self.is_destroyed: Callable[[str, str], bool] = lambda _kind, _key_id: False

    def path(self, kind: str, key_id: str) -> Path:
        """Where this record is or would be."""
        check_name(kind, key_id)
        return self.root / kind / f"{key_id}{SUFFIX}"

    def put(self, kind: str, key_id: str, record: bytes) -> None:
        """Keep a record so that it lasts. The same bytes again are fine; others raise IntegrityError.

        Raises Destroyed for a key that was erased.
        """
        if self.is_destroyed(kind, key_id):
            raise Destroyed("key", f"{kind} {key_id} was erased")
        path = self.path(kind, key_id)
        self._require_named(parse_record(record), kind, key_id)
        disk.create_or_prove_equal(path, record)

    def replace(self, kind: str, key_id: str, record: bytes, replaces: bytes) -> None:
        """Put a record in the place of the one whose SHA-256 is `replaces`, durably; a crash leaves either.

        The same again is fine. Raises NotFound, and IntegrityError("replaced") when another one is there.
        """
        path = self.path(kind, key_id)
        self._require_named(parse_record(record), kind, key_id)
        with disk.locked_folder(path.parent):
            present = self.get(kind, key_id).encode()
            if present == record:
                return
            if hashlib.sha256(present).digest() != replaces:
                raise IntegrityError("replaced", f"{kind} {key_id} is not the record that was to be replaced")
            disk.replace(path, record)

    def get(self, kind: str, key_id: str) -> KeyRecord:
        """Read a record; it must name itself so. Raises NotFound, IntegrityError: `key`, or `stranger` for
        what is no plain file."""
        if self.is_destroyed(kind, key_id):
            raise NotFound("key", f"{kind} {key_id} was erased")
        try:
            record = parse_record(disk.read_plain(self.path(kind, key_id), MAX_RECORD_BYTES))
        except FileNotFoundError:
            raise NotFound("key", f"{kind} {key_id}") from None
        self._require_named(record, kind, key_id)
        return record

    def restore(self, record: KeyRecord) -> Literal["kept", "records"]:
        """Put a record back where it is missing or damaged: `records`. One that is there and whole stays,
        whatever it says: `kept`."""
        try:
            self.get(record.kind, record.id)
            return "kept"
        except (NotFound, IntegrityError):
            with disk.Temporary(self.path(record.kind, record.id)) as temporary:
                disk.write_at(temporary.fd, [record.encode()], 0)
                temporary.commit()
            return "records"

    def destroy(self, kind: str, key_id: str) -> bool:
        """Overwrite and remove a record, and what a crashed writer left of it; False when there is none.

        Once it returns, nothing under this key opens any more. Repeating it is harmless. A link in the
        record's place goes, what it points to stays; a folder stays, which is no record and gives no key.
        """
        path = self.path(kind, key_id)
        if not path.parent.is_dir():
            return False
        with disk.locked_folder(path.parent):  # never between the two halves of a replacement
            disk.leftovers(path.parent, remove=True)
            try:
                return disk.destroy(path)
            except IsADirectoryError:
                return False

    def list(self, kind: str) -> list[str]:
        """The ids of this kind, sorted. A name that no such key has is left out: a check tells of it, and it
        must not stop whoever asks for recordings, persons or days."""
        check_name(kind, "any")
        names = (path.name.removesuffix(SUFFIX) for path in (self.root / kind).glob(f"[!.]*{SUFFIX}"))
        return sorted(name for name in names if is_key_id(kind, name))

    @staticmethod
    def _require_named(record: KeyRecord, kind: str, key_id: str) -> None:
        if (record.kind, record.id) != (kind, key_id):
            raise IntegrityError("key", f"the record of {kind} {key_id} names another key")
