"""Keys for a committed audit event, and for nothing else: gate, keys, journal, and only then the answer."""

from __future__ import annotations

from appliance.errors import KeyRefusedError
from appliance.keyholder import gate
from appliance.keyholder.answers.desk import Desk, Operation, Peer
from appliance.keyholder.gate import Use
from appliance.keyholder.wire import Request, to_text
from storage.vault import BadOpening, NotFound, parse_header, parse_opening, verify_opening


class Uses:
    """Each operation demands its event first."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._custody = desk, desk.custody

    def operations(self) -> dict[str, Operation]:
        """Name → what answers it."""
        return {
            "create_recording_key": self._create_recording_key,
            "file_keys": self._file_keys,
            "new_file_keys": self._new_file_keys,
            "epoch_keys": self._epoch_keys,
        }

    def _create_recording_key(self, request: Request, peer: Peer) -> str:
        use = self._demand(request, peer, purpose="seal")
        if request.uuid("department") != use.department:
            raise KeyRefusedError(reason="the recording belongs to another department")
        year = request.number("year", 2000, 9999)
        parent = self._custody.tree.create_recording_key(use.recording, use.department, year)
        self._record_use(request.operation, peer, use, [parent])
        return parent

    def _file_keys(self, request: Request, peer: Peer) -> list[str]:
        use = self._demand(request, peer)
        headers = [parse_header(raw) for raw in request.blobs("headers")]
        if any(header.owner != use.recording for header in headers):
            raise KeyRefusedError(reason="a file belongs to another recording")
        keys = [to_text(self._custody.tree.file_key(header)) for header in headers]
        self._record_use(request.operation, peer, use, [f"{header.kind}/{header.name}" for header in headers])
        return keys

    def _new_file_keys(self, request: Request, peer: Peer) -> list[list[str]]:
        use = self._demand(request, peer)
        names = request.pairs("names")
        if any(kind not in gate.PURPOSES[use.purpose].new_kinds for kind, _ in names):
            raise KeyRefusedError(reason=f"{use.purpose} does not write such files")
        made = [self._custody.tree.new_file_key(use.recording, kind, name) for kind, name in names]
        self._record_use(request.operation, peer, use, [f"{kind}/{name}" for kind, name in names])
        return [[to_text(header.raw), to_text(key)] for header, key in made]

    def _epoch_keys(self, request: Request, peer: Peer) -> list[dict[str, str]]:
        use = self._demand(request, peer)
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
            return {"key": to_text(self._custody.days.epoch_key(opening))}
        except BadOpening as error:
            return {"problem": error.kind}
        except NotFound:
            return {"problem": "day_key"}

    def _demand(self, request: Request, peer: Peer, purpose: str | None = None) -> Use:
        self._custody.require_unlocked()
        use = gate.demand(
            self._desk.settings,
            request.operation,
            request.uuid("recording"),
            request.uuid("event"),
            purpose or request.text("purpose"),
        )
        self._desk.within_limits(request.operation, peer, use.recording, use.unit, use.person)
        return use

    def _record_use(self, operation: str, peer: Peer, use: Use, items: list[str]) -> None:
        entry = {
            "event": str(use.event_id),
            "hash": use.event_hash.hex(),
            "recording": str(use.recording),
            "purpose": use.purpose,
            "unit": use.unit,
            "items": items,
        }
        self._desk.record(operation, peer, entry)
