"""Operations that need no audit event: how it is, public halves, signatures by service keys."""

from __future__ import annotations

import datetime as dt
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

    def operations(self) -> dict[str, Operation]:
        """Name → what answers it."""
        return {
            "status": self._status,
            "publics": self._publics,
            "sign": self._sign,
            "missing_events": self._missing_events,
            "alarms": self._alarms,
        }

    def _status(self, request: Request, peer: Peer) -> dict[str, Any]:
        published, current = self._custody.days.published(), self._custody.days.current(_today())
        return {
            "vault": str(self._custody.vault_id),
            "locked": self._custody.locked,
            "day_key": current.id if current else None,
            "last_day_key": published[-1].id if published else None,
            "uses": self._desk.journal.count,
            "alarms": [alarm["alarm"] for alarm in self._alarms(request, peer)],
            "ledger": str(self._custody.erasures.head),
            "ledger_problem": self._custody.erasures.problem,
        }

    def _publics(self, _request: Request, _peer: Peer) -> dict[str, Any]:
        days, today = self._custody.days, _today()
        days.publish(today)
        current, listed = days.current(today), days.day_list(today)
        return {
            "vault": str(self._custody.vault_id),
            "service_keys": {name: to_text(key) for name, key in self._custody.services.publics().items()},
            "day_keys": [key.to_json() for key in days.listed(today)],
            "day_key": current.id if current else None,
            "day_list": listed.decode() if listed else None,
        }

    def _sign(self, request: Request, peer: Peer) -> str:
        kind, statement = request.text("kind"), request.mapping("statement")
        if kind == "packet":
            self._require_packet(statement)
        if kind in ("tombstone", "checkpoint"):
            head = self._custody.erasures.head
            statement = {**statement, "ledger": {"count": head.count, "head": head.head}}
        envelope = self._custody.services.sign(kind, statement)
        entry = {"kind": kind, "recording": statement.get("recording")}
        if kind == "packet":
            entry["day_key"] = statement["day_key"]["id"]
        self._desk.record(request.operation, peer, entry)
        return envelope.decode()

    def _require_packet(self, statement: dict[str, Any]) -> None:
        """What is remembered of a packet decides when its day key may go. Raises KeyRefusedError."""
        try:
            recording = uuid.UUID(statement.get("recording"))
        except (ValueError, TypeError, AttributeError):
            raise KeyRefusedError(reason="the packet names no recording") from None
        if self._custody.erasures.is_destroyed("recording", str(recording)):
            raise KeyRefusedError(reason="the recording was erased")
        if statement.get("day_key") not in self._in_use():
            raise KeyRefusedError(reason="the packet names a day key that is not in use here")

    def _in_use(self) -> list[dict[str, str]]:
        """Today's day key, and yesterday's for a packet that was written before midnight."""
        today = _today()
        return [key.to_json() for key in self._custody.days.listed(today) if key.id <= today.isoformat()]

    def _alarms(self, _request: Request, _peer: Peer) -> list[dict[str, Any]]:
        kept = list(self._desk.journal.alarms)
        return [{name: entry[name] for name in ("id", "at", "alarm", "about")} for entry in kept]

    def _missing_events(self, _request: Request, _peer: Peer) -> list[str]:
        recorded = {uuid.UUID(entry["event"]) for entry in self._desk.journal.entries() if "event" in entry}
        return [str(event) for event in gate.missing_events(self._desk.settings, recorded)]


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()
