"""The sealed files that one run of a job writes through the media child: each under a key of its own."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import shutil
import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from appliance.config import Settings
from appliance.keyholder.client import Keyholder
from appliance.vaults import vault_of
from storage.vault import LEDGER_NAME, Draft, Vault, VaultFull


class Written(NamedTuple):
    """A sealed file as it was written: its size in bytes on disk, and the header of this one writing."""

    size: int
    header: bytes

    @property
    def columns(self) -> dict[str, Any]:
        """Of a document's row."""
        return {"bytes": self.size, "header_sha256": hashlib.sha256(self.header).digest()}


class Drafts:
    """Files being written for one recording, by (kind, name). What is not committed is discarded."""

    def __init__(
        self,
        vault: Vault,
        keyholder: Keyholder,
        recording_id: uuid.UUID,
        event_id: uuid.UUID,
        purpose: str,
        names: Sequence[tuple[str, str]],
    ) -> None:
        """`event_id` is the committed audit event that lets `purpose` use keys. Opens nothing yet."""
        self._vault, self._keyholder = vault, keyholder
        self._recording_id, self._event_id, self._purpose = recording_id, event_id, purpose
        self._names = names
        self._files: dict[tuple[str, str], tuple[Draft, bytes, bytes]] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Drafts:
        keys = self._keyholder.new_file_keys(
            self._recording_id, self._event_id, self._purpose, list(self._names)
        )
        for (kind, name), (header, key) in zip(self._names, keys, strict=True):
            draft = self._stack.enter_context(self._vault.begin(self._recording_id, kind, name))
            self._files[kind, name] = (draft, header, key)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        # Beginning removed what killed runs left, but for what a dying child of theirs still held.
        self._vault.tidy(self._recording_id)

    @property
    def descriptors(self) -> list[int]:
        """What the child must inherit."""
        return [draft.fd for draft, _, _ in self._files.values()]

    def request(self, kind: str, name: str) -> dict[str, Any]:
        """How the child's request names one output."""
        draft, header, key = self._files[kind, name]
        return {"out_fd": draft.fd, "header": to_text(header), "out_key": to_text(key)}

    def header(self, kind: str, name: str) -> bytes:
        """The header that one output is written with."""
        return self._files[kind, name][1]

    def write(self, kind: str, name: str, data: bytes) -> Written:
        """Write one output here and give it its name."""
        draft, header, key = self._files[kind, name]
        with draft.writer(header, key, head_budget=0) as writer:
            writer.write(data)
        return self.commit(kind, name)

    def commit(self, kind: str, name: str) -> Written:
        """Give one written file its name. Raises IntegrityError for a file that was not written whole."""
        draft, header, _ = self._files[kind, name]
        return Written(draft.commit(), header)


def require_room(settings: Settings, wanted: int) -> None:
    """Raises VaultFull when drafts find less room than this, in bytes, and StoreDown when the vault would not
    take them: then nothing is begun."""
    hot = vault_of(settings).hot
    folder = hot.drafts
    free = shutil.disk_usage(folder if folder.exists() else settings.data).free
    if free < wanted:
        raise VaultFull("disk", f"{free} of {wanted} bytes are free")
    hot.exists(LEDGER_NAME)  # any name will do to learn whether it answers


def to_text(data: bytes) -> str:
    """Bytes as a request carries them."""
    return base64.b64encode(data).decode()
