"""How the inside reaches intake. It pulls and puts; intake opens no connection inward.

`FolderTransport` serves one host. A DMZ speaks the same interface over mutual TLS. Whoever has taken intake
over may leave anything in its folder: what is read from there is a plain file of a bounded size, or
StrangeFileError, which ends the pull or the seal of that one recording. How much that is, the reader says:
nothing that intake holds, not even a packet, makes it more.

Reading may take long, so nobody reads from here while a transaction is open.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from appliance.config import Settings
from appliance.durable import StrangeFileError, require_plain
from appliance.intake_folder import IntakeFolder
from appliance.intake_state import IntakeRecord
from appliance.packet import Packet
from storage.vault import Journal

# Intake takes the pieces that were under way when a recording reached its limit.
UNDER_WAY_BYTES = 256 * 1024**2


@dataclass(frozen=True)
class IntakeRoom:
    """Bytes that recordings hold at intake, and bytes that its disk has left."""

    held: int
    free: int


class Transport(Protocol):
    """What ingest, seal and invite need of intake, wherever it stands."""

    def install_service_keys(self, keys: Mapping[str, bytes]) -> None:
        """Say which Ed25519 keys (id → 32 bytes) intake shall trust."""

    def put_packet(self, raw: bytes) -> Packet:
        """Hand over a signed packet. Raises PacketError."""

    def put_day_keys(self, raw: bytes) -> None:
        """Hand over the signed list of day keys, in place of the one before. Raises PacketError."""

    def put_tombstone(self, raw: bytes) -> None:
        """Close a recording for ever. Raises PacketError."""

    def list_recordings(self, changed_since: float = 0.0) -> list[uuid.UUID]:
        """Recordings with a record that is newer than `changed_since` (seconds since 1970)."""

    def invited(self, recording: uuid.UUID) -> bool:
        """Whether a packet that we signed lies there for a recording, as far as intake is to be believed."""

    def read_records(self, recording: uuid.UUID, after: int = 0) -> list[IntakeRecord]:
        """Records with seq > after, in order. Raises StrangeFileError."""

    def heartbeat(self, recording: uuid.UUID) -> dict[str, Any] | None:
        """The newest heartbeat: numbers and enumerated states only."""

    def journals(self, recording: uuid.UUID, max_bytes: int) -> dict[str, Journal]:
        """The journals that have arrived, by track, for reading.

        `max_bytes`: what the recording may use, by the limits that the inside itself set; each journal stays
        within it, and all together but for pieces that were under way when it was reached. Raises
        StrangeFileError; a journal that grows past it afterwards raises IntegrityError when it is read.
        """

    def room(self, recordings: Iterable[uuid.UUID]) -> IntakeRoom:
        """What these recordings hold, and what is left for more."""

    def remove_journals(self, recording: uuid.UUID) -> bool:
        """Remove what was recorded; the records stay. False, and nothing removed, unless a tombstone says
        that nothing more is taken. Raises StrangeFileError."""

    def remove_recording(self, recording: uuid.UUID) -> bool:
        """Remove all that is there of a recording but its tombstone: what was recorded, the records, the
        packets. False, and nothing removed, unless there is one. Raises StrangeFileError."""

    def left_of(self, recordings: Iterable[uuid.UUID]) -> set[uuid.UUID]:
        """Those of which anything but a tombstone is there."""


class FolderTransport:
    """Transport over a folder on the same host."""

    def __init__(self, folder: IntakeFolder) -> None:
        self._folder = folder

    def install_service_keys(self, keys: Mapping[str, bytes]) -> None:
        self._folder.install_service_keys(keys)

    def put_packet(self, raw: bytes) -> Packet:
        return self._folder.put_packet(raw)

    def put_day_keys(self, raw: bytes) -> None:
        self._folder.put_day_keys(raw)

    def put_tombstone(self, raw: bytes) -> None:
        self._folder.put_tombstone(raw)

    def list_recordings(self, changed_since: float = 0.0) -> list[uuid.UUID]:
        return self._folder.recordings(changed_since)

    def invited(self, recording: uuid.UUID) -> bool:
        return bool(self._folder.packets(recording))

    def read_records(self, recording: uuid.UUID, after: int = 0) -> list[IntakeRecord]:
        return self._folder.records(recording, after)

    def heartbeat(self, recording: uuid.UUID) -> dict[str, Any] | None:
        return self._folder.heartbeat(recording)

    def journals(self, recording: uuid.UUID, max_bytes: int) -> dict[str, Journal]:
        found = {
            name: self._folder.journal(recording, name, max_bytes) for name in self._folder.tracks(recording)
        }
        together = sum(require_plain(journal.path, max_bytes) for journal in found.values())
        if together > max_bytes + UNDER_WAY_BYTES:
            raise StrangeFileError(f"{together} bytes of journals where {max_bytes} may be")
        return found

    def room(self, recordings: Iterable[uuid.UUID]) -> IntakeRoom:
        held = sum(self._folder.recorded_bytes(recording) for recording in recordings)
        return IntakeRoom(held, self._folder.free_bytes())

    def remove_journals(self, recording: uuid.UUID) -> bool:
        return self._folder.remove_tracks(recording)

    def remove_recording(self, recording: uuid.UUID) -> bool:
        return self._folder.remove_recording(recording)

    def left_of(self, recordings: Iterable[uuid.UUID]) -> set[uuid.UUID]:
        return self._folder.left_of(recordings)


def transport_of(settings: Settings) -> Transport:
    """How this site's inside reaches its intake."""
    return FolderTransport(IntakeFolder(settings.intake_folder))
