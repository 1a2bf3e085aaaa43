"""Operations that need no audit event: how it is, public halves, signatures by service keys."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from typing import Any

from appliance.errors import KeyRefusedError
from appliance.keyholder import gate
from appliance.keyholder.answers.desk import Desk, Operation, Peer
from appliance.keyholder.wire import Request, to_text


class Plain:
    """Answers at any time, locked or not."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._custody = desk, desk.custody
        self._day_guard = threading.Lock()

    def operations(self) -> dict[str, Operation]:
        """Name → what answers it."""
        return {
            "status": self._status,
            "publics": self._publics,
            "sign": self._sign,
            "missing_events": self._missing_events,
        }

    def _status(self, _request: Request, _peer: Peer) -> dict[str, Any]:
        keys = self._custody.days.published()
        return {
            "vault": str(self._custody.vault_id),
            "locked": self._custody.locked,
            "day_key": keys[-1].id if keys else None,
            "uses": self._desk.journal.count,
        }

    def _publics(self, _request: Request, _peer: Peer) -> dict[str, Any]:
        if not self._custody.locked:
            with self._day_guard:
                self._custody.days.publish(dt.datetime.now(dt.UTC).date())
        return {
            "vault": str(self._custody.vault_id),
            "service_keys": {name: to_text(key) for name, key in self._custody.services.publics().items()},
            "day_keys": [key.to_json() for key in self._custody.days.published()],
        }

    def _sign(self, request: Request, peer: Peer) -> str:
        kind, statement = request.text("kind"), request.mapping("statement")
        published = [key.to_json() for key in self._custody.days.published()] if kind == "packet" else []
        if kind == "packet" and statement.get("day_key") not in published:
            raise KeyRefusedError(reason="the packet names a day key that was not published here")
        envelope = self._custody.services.sign(kind, statement)
        self._desk.record(request.operation, peer, {"kind": kind, "recording": statement.get("recording")})
        return envelope.decode()

    def _missing_events(self, _request: Request, _peer: Peer) -> list[str]:
        recorded = {uuid.UUID(entry["event"]) for entry in self._desk.journal.entries() if "event" in entry}
        return [str(event) for event in gate.missing_events(self._desk.settings, recorded)]
