"""The folder that intake and the inside share: signed packets in, ciphertext and records out.

    service_keys.json, day_keys.json        whom intake trusts, and what browsers seal to (intake_trust.py)
    packets/<recording>/<generation>.packet
    tombstones/<recording>.tombstone
    recordings/<recording>/records.log      JSON lines, appended and fsynced under a lock
    recordings/<recording>/heartbeat.json   the newest heartbeat only
    recordings/<recording>/tracks/<track>.journal, <track>.<epoch>.<n>.<flag>.conflict

Nothing here is a secret: losing the folder to a thief gives ciphertext, question texts and names.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance import intake_removal
from appliance.day_list import DayList
from appliance.domain import TrackKind
from appliance.durable import (
    StrangeFileError,
    append_line,
    ensure_folder,
    locked,
    read_plain,
    replace_file,
    write_durably,
)
from appliance.intake_errors import (
    IntakeFullError,
    LinkUnknownError,
    RecordsTooLargeError,
    TooManyRecordsError,
)
from appliance.intake_log import MAX_RECORD_BYTES, MAX_RECORDS, parse_lines, read_records
from appliance.intake_removal import KEPT
from appliance.intake_state import AttemptState, IntakeRecord, RecordKind
from appliance.intake_trust import Trust
from appliance.packet import (
    MAX_ENVELOPE_BYTES,
    Packet,
    PacketError,
    canonical,
    open_envelope,
    parse_packet,
    to_timestamp,
)
from storage.vault import Journal, Opening

MAX_CONFLICTS = 16
CACHED_ATTEMPTS = 2048
# Below the disk's floor no new recording begins; running ones may use most of what is left.
RUNNING_FLOOR_SHARE = 8


class _Places:
    """Where the files of one recording are. Joined once for each attempt: chunks ask many times a second."""

    def __init__(self, root: Path, recording: uuid.UUID) -> None:
        self.packets = root / "packets" / str(recording)
        self.tombstone = root / "tombstones" / f"{recording}.tombstone"
        self.folder = root / "recordings" / str(recording)
        self.log = self.folder / "records.log"
        self.heartbeat = self.folder / "heartbeat.json"
        self.tracks = self.folder / "tracks"


@dataclass
class _CachedAttempt:
    """What one process knows of an attempt; refreshed from where its last read ended."""

    places: _Places
    lock: threading.Lock = field(default_factory=threading.Lock)
    offset: int = 0
    state: AttemptState = field(default_factory=AttemptState)
    packets: dict[int, Packet] = field(default_factory=dict)
    packets_seen: tuple[object, ...] = ()
    journals: dict[str, Journal] = field(default_factory=dict)
    admitted: dict[bytes, Opening] = field(default_factory=dict)


class IntakeFolder:
    """One folder, used by any number of processes and threads at once."""

    def __init__(self, root: Path, floor_bytes: int = 0) -> None:
        """`floor_bytes`: how much of the disk new recordings must leave free."""
        self.root = root
        self.floor_bytes = floor_bytes
        self._trust = Trust(root)
        self._cache: OrderedDict[uuid.UUID, _CachedAttempt] = OrderedDict()
        self._cache_lock = threading.Lock()

    # --- trust ---------------------------------------------------------------------------------------------

    def install_service_keys(self, keys: Mapping[str, bytes]) -> None:
        """Say which Ed25519 public keys (id → 32 bytes) may sign what lies here."""
        self._trust.install_service_keys(keys)

    def service_keys(self) -> dict[str, bytes]:
        """The trusted keys; empty before set-up, so that nothing is trusted."""
        return self._trust.service_keys()

    def put_day_keys(self, raw: bytes) -> None:
        """Take the signed list of day keys. Raises PacketError."""
        self._trust.put_day_keys(raw)

    def day_keys(self) -> DayList | None:
        """That list; None where there is none that is genuine."""
        return self._trust.day_keys()

    # --- packets and tombstones ----------------------------------------------------------------------------

    def put_packet(self, raw: bytes) -> Packet:
        """Store one signed packet. Raises PacketError, also for a generation older than one already seen."""
        packet = parse_packet(open_envelope(raw, self.service_keys(), "packet"))
        folder = self._places(packet.recording).packets
        with locked(folder / ".lock"):
            newest = max(self.packets(packet.recording), default=0)
            if packet.generation < newest:
                raise PacketError("generation")
            target = folder / f"{packet.generation}.packet"
            if packet.generation == newest and read_plain(target, MAX_ENVELOPE_BYTES) != raw:
                raise PacketError("generation")
            write_durably(target, raw)
        return packet

    def packets(self, recording: uuid.UUID) -> dict[int, Packet]:
        """Every genuine packet of a recording by generation; others are passed over."""
        folder = self._places(recording).packets
        try:
            with os.scandir(folder) as found:
                names = sorted(each.name for each in found if each.name.endswith(".packet"))
        except FileNotFoundError:
            names = []
        if not names:
            return {}
        trusted = self.service_keys()
        entry = self._entry(recording)
        with entry.lock:
            # A packet file never changes, so the names and the trusted keys tell whether to read again.
            seen = (*names, *sorted(trusted))
            if entry.packets_seen != seen:
                entry.packets = dict(self._read_packets(folder, recording, trusted))
                entry.packets_seen = seen
            return dict(entry.packets)

    @staticmethod
    def _read_packets(
        folder: Path, recording: uuid.UUID, trusted: Mapping[str, bytes]
    ) -> Iterator[tuple[int, Packet]]:
        for path in folder.glob("*.packet"):
            try:
                envelope = open_envelope(read_plain(path, MAX_ENVELOPE_BYTES), trusted, "packet")
                packet = parse_packet(envelope)
            except (PacketError, StrangeFileError):
                continue
            if packet.recording == recording and path.stem == str(packet.generation):
                yield packet.generation, packet

    def packet(self, recording: uuid.UUID) -> Packet:
        """The packet of the newest generation. Raises LinkUnknownError."""
        known = self.packets(recording)
        if not known:
            raise LinkUnknownError
        return known[max(known)]

    def put_tombstone(self, raw: bytes) -> None:
        """From now on intake takes nothing more for this recording. Raises PacketError."""
        statement = open_envelope(raw, self.service_keys(), "tombstone")
        write_durably(self._places(uuid.UUID(statement["recording"])).tombstone, raw)

    def tombstone(self, recording: uuid.UUID) -> dict[str, Any] | None:
        """The statement that closed this recording; None while it is open."""
        try:
            raw = read_plain(self._places(recording).tombstone, MAX_ENVELOPE_BYTES)
            statement = open_envelope(raw, self.service_keys(), "tombstone")
        except (FileNotFoundError, StrangeFileError, PacketError):
            return None
        return statement if statement.get("recording") == str(recording) else None

    # --- records -------------------------------------------------------------------------------------------

    def recordings(self, changed_since: float = 0.0) -> list[uuid.UUID]:
        """Every recording that has left a record since then (seconds since 1970), in no promised order."""
        logs = (self.root / "recordings").glob("*/records.log")
        known = [(_recording_named(path.parent.name), path) for path in logs]
        return [name for name, path in known if name is not None and _changed(path) >= changed_since]

    def records(self, recording: uuid.UUID, after: int = 0) -> list[IntakeRecord]:
        """Records with seq > after, in order; what is none is passed over. Raises StrangeFileError."""
        return read_records(self._places(recording).log, recording, after)

    def state(self, recording: uuid.UUID) -> AttemptState:
        """What the records add up to now. The object is shared and only grows: read it, do not change it."""
        entry = self._entry(recording)
        with entry.lock:
            return self._refreshed(entry)

    def locked(self, recording: uuid.UUID) -> AbstractContextManager[None]:
        """Hold the recording's lock, as `append` and `keep_conflict` do: neither may be called meanwhile."""
        return locked(self._places(recording).folder / ".lock")

    def append(
        self,
        recording: uuid.UUID,
        kind: RecordKind,
        make_body: Callable[[AttemptState], dict[str, Any] | None],
    ) -> AttemptState:
        """Append one record, durable when this returns.

        `make_body` sees the newest state under the lock, so it decides against what is true at that moment:
        it returns the body, or None for nothing to add, or raises what the candidate should be told.
        """
        path = self._places(recording).log
        with self.locked(recording):
            entry = self._entry(recording)
            with entry.lock:
                state = self._refreshed(entry)
                body = make_body(state)
                if body is None:
                    return state
                record = IntakeRecord(state.last_seq + 1, to_timestamp(datetime.now(UTC)), kind, body)
                line = canonical(record.to_json()) + b"\n"
                if kind not in _ALWAYS_TAKEN:
                    self._require_room_for(record, entry.offset + len(line))
                append_line(path, entry.offset, line)
                return self._refreshed(entry)

    def _require_room_for(self, record: IntakeRecord, log_bytes: int) -> None:
        """Withdrawing and finishing always find room; everything else stops at the limits."""
        if record.seq > MAX_RECORDS:
            raise TooManyRecordsError(limit=MAX_RECORDS)
        if log_bytes > MAX_RECORD_BYTES:
            raise RecordsTooLargeError(limit=f"{MAX_RECORD_BYTES // 1024**2} MB")
        self.require_room_to_go_on()

    @staticmethod
    def _refreshed(entry: _CachedAttempt) -> AttemptState:
        path = entry.places.log
        try:
            # The log only grows, and what was read ended with a whole line: same length, nothing new.
            if path.stat().st_size == entry.offset:
                return entry.state
            with path.open("rb") as file:
                file.seek(entry.offset)
                records, consumed = parse_lines(file.read())
        except FileNotFoundError:
            return entry.state
        entry.state.apply(records)
        entry.offset += consumed
        return entry.state

    def put_heartbeat(self, recording: uuid.UUID, beat: Mapping[str, Any]) -> None:
        """Keep the newest heartbeat; it need not outlive a crash."""
        path = self._places(recording).heartbeat
        replace_file(path, canonical({**beat, "at": to_timestamp(datetime.now(UTC))}))

    def heartbeat(self, recording: uuid.UUID) -> dict[str, Any] | None:
        """The newest heartbeat, if any."""
        try:
            beat = json.loads(read_plain(self._places(recording).heartbeat, MAX_ENVELOPE_BYTES))
        except (FileNotFoundError, StrangeFileError, ValueError):
            return None
        return beat if isinstance(beat, dict) else None

    # --- tracks --------------------------------------------------------------------------------------------

    def tracks(self, recording: uuid.UUID) -> list[str]:
        """Names of the tracks that have a journal; no other file is one, whatever it is called."""
        folder = self._places(recording).tracks
        return sorted(kind.value for kind in TrackKind if os.path.lexists(folder / f"{kind}.journal"))

    def journal(self, recording: uuid.UUID, track: str, max_bytes: int) -> Journal:
        """The journal of one track (created on its first append). `track` must already be a checked name."""
        entry = self._entry(recording)
        with entry.lock:
            if track not in entry.journals:
                path = entry.places.tracks / f"{track}.journal"
                ensure_folder(path.parent)
                entry.journals[track] = Journal(path, max_bytes)
            return entry.journals[track]

    def admitted_openings(self, recording: uuid.UUID) -> dict[bytes, Opening]:
        """By epoch id, the openings that this process has proven and admitted: it need not do that again."""
        return self._entry(recording).admitted

    def recorded_bytes(self, recording: uuid.UUID) -> int:
        """Bytes of every journal of a recording, and of what was kept beside them."""
        try:
            with os.scandir(self._places(recording).tracks) as found:
                return sum(entry.stat().st_size for entry in found if entry.name.endswith(KEPT))
        except FileNotFoundError:
            return 0

    def keep_conflict(self, recording: uuid.UUID, name: str, body: bytes) -> bool:
        """Keep the second version of a chunk beside its journal. True when it is new."""
        folder = self._places(recording).tracks
        path = folder / f"{name}.conflict"
        with self.locked(recording):
            if path.exists() or len(list(folder.glob("*.conflict"))) >= MAX_CONFLICTS:
                return False
            write_durably(path, body)
        return True

    def remove_tracks(self, recording: uuid.UUID) -> bool:
        """Remove the journals of a recording that takes nothing more, and what was kept beside them; False
        when it still does. Removing again is harmless. Raises StrangeFileError for a link on the way."""
        if self.tombstone(recording) is None:
            return False
        intake_removal.remove_tracks(self.root, recording)
        return True

    def remove_recording(self, recording: uuid.UUID) -> bool:
        """Remove all of a recording but its tombstone; False where there is none. Raises StrangeFileError."""
        if self.tombstone(recording) is None:
            return False
        intake_removal.remove_recording(self.root, recording)
        with self._cache_lock:
            self._cache.pop(recording, None)
        return True

    def left_of(self, recordings: Iterable[uuid.UUID]) -> set[uuid.UUID]:
        """Those of which there is anything but a tombstone."""
        return intake_removal.left_of(self.root, recordings)

    def free_bytes(self) -> int:
        """Room left on the disk that holds the folder."""
        return shutil.disk_usage(self.root).free

    def require_room_to_begin(self) -> None:
        """Raises IntakeFullError when the disk is nearly full."""
        if self.free_bytes() < self.floor_bytes:
            raise IntakeFullError

    def require_room_to_go_on(self) -> None:
        """Raises IntakeFullError when even what has begun finds no room."""
        if self.free_bytes() < self.floor_bytes // RUNNING_FLOOR_SHARE:
            raise IntakeFullError

    # --- inside --------------------------------------------------------------------------------------------

    def _places(self, recording: uuid.UUID) -> _Places:
        """Makes no entry: whoever asks for recordings that do not exist must not push out those that do."""
        with self._cache_lock:
            entry = self._cache.get(recording)
        return _Places(self.root, recording) if entry is None else entry.places

    def _entry(self, recording: uuid.UUID) -> _CachedAttempt:
        with self._cache_lock:
            entry = self._cache.get(recording)
            if entry is None:
                entry = self._cache[recording] = _CachedAttempt(_Places(self.root, recording))
                if len(self._cache) > CACHED_ATTEMPTS:
                    self._cache.popitem(last=False)
            else:
                self._cache.move_to_end(recording)
            return entry


_ALWAYS_TAKEN = (RecordKind.FINISH, RecordKind.CONSENT_WITHDRAWN)


def _recording_named(folder: str) -> uuid.UUID | None:
    """The recording that a folder belongs to; None for a folder of something else."""
    try:
        found = uuid.UUID(folder)
    except ValueError:
        return None
    return found if str(found) == folder else None


def _changed(path: Path) -> float:
    """When a file was last written to, in seconds since 1970; long ago where that cannot be told."""
    try:
        return path.stat().st_mtime
    except OSError:
        return float("-inf")
