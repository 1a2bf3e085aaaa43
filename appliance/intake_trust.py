"""What intake believes: the service keys whose signatures count, and the signed list of day keys.

service_keys.json   Ed25519 public keys
day_keys.json       the envelope of day_list.py
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path

from appliance.day_list import TYPE, DayList, parse_day_list
from appliance.durable import StrangeFileError, read_plain, write_durably
from appliance.packet import MAX_ENVELOPE_BYTES, PacketError, canonical, open_envelope


class Trust:
    """Two files of the intake folder; read again when one was replaced. Safe across threads."""

    def __init__(self, root: Path) -> None:
        self._keys_path, self._days_path = root / "service_keys.json", root / "day_keys.json"
        self._keys: tuple[tuple[int, int], dict[str, bytes]] = ((0, 0), {})

    def install_service_keys(self, keys: Mapping[str, bytes]) -> None:
        """Say which Ed25519 public keys (id → 32 bytes) may sign."""
        listed = {key_id: base64.b64encode(public).decode() for key_id, public in keys.items()}
        write_durably(self._keys_path, canonical({"keys": listed}))

    def service_keys(self) -> dict[str, bytes]:
        """The trusted keys; empty before set-up, so that nothing is trusted."""
        path = self._keys_path
        try:
            status = path.stat()
            version = (status.st_ino, status.st_mtime_ns)
            if version != self._keys[0]:
                listed = json.loads(read_plain(path, MAX_ENVELOPE_BYTES))["keys"]
                self._keys = (version, {name: base64.b64decode(value) for name, value in listed.items()})
        except (FileNotFoundError, StrangeFileError):
            return {}
        return self._keys[1]

    def put_day_keys(self, raw: bytes) -> None:
        """Take a signed list in place of the one before; the same changes nothing. Raises PacketError."""
        parse_day_list(open_envelope(raw, self.service_keys(), TYPE))
        if self._read_days() != raw:
            write_durably(self._days_path, raw)

    def day_keys(self) -> DayList | None:
        """The list, proven; None where there is none that is genuine: then each packet's own key serves."""
        raw = self._read_days()
        try:
            return None if raw is None else parse_day_list(open_envelope(raw, self.service_keys(), TYPE))
        except PacketError:
            return None

    def _read_days(self) -> bytes | None:
        try:
            return read_plain(self._days_path, MAX_ENVELOPE_BYTES)
        except (FileNotFoundError, StrangeFileError):
            return None
