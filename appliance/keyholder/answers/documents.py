"""Keys of documents that people keep and open, of a recording or of a person: each for its own event."""

from __future__ import annotations

import threading
import uuid
from collections import deque

from appliance.domain import Owner, OwnerKind
from appliance.errors import InvalidInputError, KeyRefusedError
from appliance.keyholder import document_gate
from appliance.keyholder.answers.desk import Desk, Operation, Peer
from appliance.keyholder.document_gate import DocumentUse
from appliance.keyholder.wire import Request, to_text
from storage.vault import parse_header

KEEP = "new_document_key"
# Used events to remember. Each lives a minute at most, and each use waits for the disk: so many never live.
REMEMBERED = 10_000


class Documents:
    """An event to keep gives one key, once; one to open gives keys until it expires."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._custody = desk, desk.custody
        self._guard = threading.Lock()
        used = (uuid.UUID(entry["event"]) for entry in desk.done() if entry["op"] == KEEP)
        self._kept = deque(used, maxlen=REMEMBERED)  # after a restart they stay used

    def operations(self) -> dict[str, Operation]:
        """Name → what answers it."""
        return {KEEP: self._new_document_key, "document_keys": self._document_keys}

    def _new_document_key(self, request: Request, peer: Peer) -> list[str]:
        self._custody.require_unlocked()
        owner, name = _owner(request), request.text("name")
        with self._guard:
            use = document_gate.demand_keep(self._desk.settings, owner, request.uuid("event"), name)
            if use.event_id in self._kept:
                raise KeyRefusedError(reason="the event was used before")
            self._desk.within_limits(request.operation, peer, owner.id, "staff", use.person)
            if owner.kind is OwnerKind.PERSON:
                self._custody.tree.create_person_key(owner.id)
            header, key = self._custody.tree.new_file_key(owner.id, "document", name, owner.kind)
            self._record(request.operation, peer, use, [name])
            self._kept.append(use.event_id)
        return [to_text(header.raw), to_text(key)]

    def _document_keys(self, request: Request, peer: Peer) -> list[str]:
        self._custody.require_unlocked()
        owner = _owner(request)
        headers = [parse_header(raw) for raw in request.blobs("headers")]
        names = [header.name for header in headers]
        use = document_gate.demand_open(self._desk.settings, owner, request.uuid("event"), names)
        self._desk.within_limits(request.operation, peer, owner.id, "staff", use.person)
        if any((header.owner, header.kind) != (owner.id, "document") for header in headers):
            raise KeyRefusedError(reason="a file belongs to another owner")
        keys = [to_text(self._custody.tree.file_key(header, owner.kind)) for header in headers]
        self._record(request.operation, peer, use, names)
        return keys

    def _record(self, operation: str, peer: Peer, use: DocumentUse, names: list[str]) -> None:
        entry = {
            "event": str(use.event_id),
            "hash": use.event_hash.hex(),
            use.owner.kind.value: str(use.owner.id),
            "purpose": use.purpose,
            "unit": "staff",
            "items": [f"document/{name}" for name in names],
        }
        self._desk.record(operation, peer, entry)


def _owner(request: Request) -> Owner:
    try:
        return Owner(OwnerKind(request.text("owner")), request.uuid("id"))
    except ValueError:
        raise InvalidInputError(what="owner") from None
