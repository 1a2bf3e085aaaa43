"""What the keyholder does for each request: gate, keys, journal, and only then the answer."""

from __future__ import annotations

import datetime as dt
import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from appliance.config import Settings
from appliance.errors import (
    DamagedError,
    InvalidInputError,
    KeyholderDownError,
    KeyRefusedError,
    StorageFullError,
)
from appliance.keyholder import gate
from appliance.keyholder.custody import Custody
from appliance.keyholder.gate import Use
from appliance.keyholder.journal import Journal
from appliance.keyholder.unlock import FileUnlock
from appliance.keyholder.wire import Request, to_text
from storage.vault import (
    BadOpening,
    IntegrityError,
    NotFound,
    VaultError,
    VaultFull,
    parse_header,
    parse_opening,
    verify_opening,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Peer:
    """The process at the other end of the socket, as the kernel names it."""

    pid: int
    uid: int


class Service:
    """Answers requests; safe across threads."""

    def __init__(self, settings: Settings, custody: Custody, journal: Journal) -> None:
        self._settings, self._custody, self._journal = settings, custody, journal
        self._day_guard = threading.Lock()
        self._order_guard = threading.Lock()
        self._operations: dict[str, Callable[[Request, Peer], Any]] = {
            "status": self._status,
            "publics": self._publics,
            "sign": self._sign,
            "lock": self._lock,
            "unlock": self._unlock,
            "missing_events": self._missing_events,
            "create_recording_key": self._create_recording_key,
            "file_keys": self._file_keys,
            "new_file_keys": self._new_file_keys,
            "epoch_keys": self._epoch_keys,
        }

    @property
    def locked(self) -> bool:
        """Whether the vault key is away."""
        return self._custody.locked

    def close(self) -> None:
        """Forget the keys and let go of the journal."""
        self._custody.lock()
        self._journal.close()

    def turn_away(self, peer: Peer) -> KeyRefusedError:
        """What a process of another user gets, whatever it asks; that it came is in the journal."""
        reason = "this user is not answered"
        self._record("connect", peer, {"refused": reason})
        return KeyRefusedError(reason=reason)

    def answer(self, line: bytes, peer: Peer) -> Any:
        """The result of one request line. Raises FupanError for everything foreseen."""
        request = Request(line)
        operation = self._operations.get(request.operation)
        if operation is None:
            raise InvalidInputError(what=f"unknown operation {request.operation}")
        try:
            return operation(request, peer)
        except KeyRefusedError as error:
            self._record(request.operation, peer, {"refused": str(error.params.get("reason", ""))})
            raise
        except IntegrityError as error:
            logger.error("%s: %s", request.operation, error)
            raise DamagedError(kind=error.kind) from error
        except VaultFull as error:
            raise StorageFullError() from error
        except VaultError as error:
            logger.error("%s: %s", request.operation, error)
            raise KeyRefusedError(reason=str(error)) from error

    # Without an event ------------------------------------------------------------------------------

    def _status(self, _request: Request, _peer: Peer) -> dict[str, Any]:
        keys = self._custody.day_keys()
        return {
            "vault": str(self._custody.vault_id),
            "locked": self._custody.locked,
            "day_key": keys[-1].id if keys else None,
            "uses": self._journal.count,
        }

    def _publics(self, _request: Request, _peer: Peer) -> dict[str, Any]:
        if not self._custody.locked:
            with self._day_guard:
                self._custody.publish_day_key(dt.datetime.now(dt.UTC).date())
        return {
            "vault": str(self._custody.vault_id),
            "service_keys": {name: to_text(key) for name, key in self._custody.service_keys().items()},
            "day_keys": [key.to_json() for key in self._custody.day_keys()],
        }

    def _sign(self, request: Request, peer: Peer) -> str:
        kind, statement = request.text("kind"), request.mapping("statement")
        envelope = self._custody.sign(kind, statement)
        self._record(request.operation, peer, {"kind": kind, "recording": statement.get("recording")})
        return envelope.decode()

    def _lock(self, request: Request, peer: Peer) -> None:
        """Never refused: without an event, as when the database is down, this journal alone has it."""
        self._custody.lock()
        event = request.uuid("event") if request.has("event") else None
        self._record("lock", peer, {"event": str(event)} if event else {"unrecorded": True})

    def _unlock(self, request: Request, peer: Peer) -> None:
        event = request.uuid("event")
        provider = FileUnlock(self._settings)
        with self._order_guard:
            digest = gate.demand_unlock(self._settings, self._custody.vault_id, event)
            if any(entry["op"] == "unlock" and entry.get("event") == str(event) for entry in self._done()):
                raise KeyRefusedError(reason="the event was used before")
            self._record("unlock", peer, {"event": str(event), "hash": digest.hex()})
            self._custody.unlock(provider)

    def _done(self) -> Iterator[dict[str, Any]]:
        return (entry for entry in self._journal.entries() if "refused" not in entry)

    def _missing_events(self, _request: Request, _peer: Peer) -> list[str]:
        recorded = {uuid.UUID(entry["event"]) for entry in self._journal.entries() if "event" in entry}
        return [str(event) for event in gate.missing_events(self._settings, recorded)]

    # Only for an event -----------------------------------------------------------------------------

    def _create_recording_key(self, request: Request, peer: Peer) -> str:
        use = self._demand(request, purpose="seal")
        if request.uuid("department") != use.department:
            raise KeyRefusedError(reason="the recording belongs to another department")
        year = request.number("year", 2000, 9999)
        parent = self._custody.create_recording_key(use.recording, use.department, year)
        self._record_use(request.operation, peer, use, [parent])
        return parent

    def _file_keys(self, request: Request, peer: Peer) -> list[str]:
        use = self._demand(request)
        headers = [parse_header(raw) for raw in request.blobs("headers")]
        if any(header.owner != use.recording for header in headers):
            raise KeyRefusedError(reason="a file belongs to another recording")
        keys = [to_text(self._custody.file_key(header)) for header in headers]
        self._record_use(request.operation, peer, use, [f"{header.kind}/{header.name}" for header in headers])
        return keys

    def _new_file_keys(self, request: Request, peer: Peer) -> list[list[str]]:
        use = self._demand(request)
        names = request.pairs("names")
        if any(kind not in gate.PURPOSES[use.purpose].new_kinds for kind, _ in names):
            raise KeyRefusedError(reason=f"{use.purpose} does not write such files")
        made = [self._custody.new_file_key(use.recording, kind, name) for kind, name in names]
        self._record_use(request.operation, peer, use, [f"{kind}/{name}" for kind, name in names])
        return [[to_text(header.raw), to_text(key)] for header, key in made]

    def _epoch_keys(self, request: Request, peer: Peer) -> list[dict[str, str]]:
        use = self._demand(request)
        answers = [self._epoch_key(raw, use) for raw in request.blobs("openings")]
        opened = sum("key" in answer for answer in answers)
        self._record_use(request.operation, peer, use, [f"{opened} of {len(answers)} epochs"])
        return answers

    def _epoch_key(self, raw: bytes, use: Use) -> dict[str, str]:
        """One epoch's key or the kind of what is wrong: an epoch that does not open becomes a gap."""
        try:
            opening = parse_opening(raw)
            if opening.end != len(raw):
                return {"problem": "length"}
            if (opening.vault_id, opening.recording_id) != (self._custody.vault_id, use.recording):
                return {"problem": "foreign"}
            if opening.browser_key not in use.browser_keys:
                return {"problem": "browser_key"}
            verify_opening(opening)
            return {"key": to_text(self._custody.epoch_key(opening))}
        except BadOpening as error:
            return {"problem": error.kind}
        except NotFound:
            return {"problem": "day_key"}

    def _demand(self, request: Request, purpose: str | None = None) -> Use:
        self._custody.require_unlocked()
        return gate.demand(
            self._settings,
            request.operation,
            request.uuid("recording"),
            request.uuid("event"),
            purpose or request.text("purpose"),
        )

    def _record_use(self, operation: str, peer: Peer, use: Use, items: list[str]) -> None:
        entry = {
            "event": str(use.event_id),
            "hash": use.event_hash.hex(),
            "recording": str(use.recording),
            "purpose": use.purpose,
            "unit": use.unit,
            "items": items,
        }
        self._record(operation, peer, entry)

    def _record(self, operation: str, peer: Peer, entry: dict[str, Any]) -> None:
        """On disk before the answer; a use that cannot be recorded does not happen."""
        try:
            self._journal.append({"op": operation, "pid": peer.pid, "uid": peer.uid, **entry})
        except OSError as error:
            logger.error("the journal cannot be written: %s", error)
            raise KeyholderDownError() from error
