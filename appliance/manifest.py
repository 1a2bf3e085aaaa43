"""A recording's manifest: what was sealed of it, by name, digest and length, as a sealed document of its own.

It is written last, so what it names is there. Rows are rebuilt from it, a damaged track is known by it, and
whoever gets a copy of a track can say whether it is the one that was sealed (F007).
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

from appliance.errors import DamagedError
from storage.vault import canonical_json

VERSION = 1
# What a player is told each kind of file is. The child parses strangers' media, so a word of its own must
# never reach a browser as a content type.
MIME_OF = {"webm": "video/webm", "mp4": "video/mp4", "matroska": "video/x-matroska"}


@dataclass(frozen=True)
class TrackEntry:
    """One sealed track. `name` is the track's, `file` that of its file in the vault, `header` that file's.

    `size` (in bytes) and `sha256` are the plaintext's, `file_size` and `file_sha256` the sealed file's.
    """

    name: str
    kind: str
    file: str
    header: bytes
    recorded_as: tuple[str, ...]
    container: str
    codecs: tuple[str, ...]
    start_ms: int
    duration_ms: int
    width: int | None
    height: int | None
    size: int
    sha256: str
    file_size: int
    file_sha256: str

    @property
    def mime(self) -> str:
        """What a player is told that it is."""
        return MIME_OF[self.container]

    @classmethod
    def described(
        cls, described: dict[str, Any], file: str, header: bytes, recorded_as: tuple[str, ...] | None = None
    ) -> TrackEntry:
        """As the media child describes a track that it wrote. Raises KeyError, TypeError and ValueError for
        what no child says."""
        if described["container"] not in MIME_OF:
            raise ValueError("a container that is not known")
        return cls(
            name=described["name"],
            kind=described["name"],
            file=file,
            header=header,
            recorded_as=_words(described["recorded_as"]) if recorded_as is None else recorded_as,
            container=described["container"],
            codecs=_words(described["codecs"]),
            start_ms=int(described["start_ms"]),
            duration_ms=int(described["duration_ms"]),
            width=int(described["width"]) or None,
            height=int(described["height"]) or None,
            size=int(described["bytes"]),
            sha256=str(described["sha256"]),
            file_size=int(described["file_bytes"]),
            file_sha256=str(described["file_sha256"]),
        )

    def row(self, recording_id: uuid.UUID) -> dict[str, Any]:
        """The columns of the track's row."""
        same = ("name", "kind", "file", "mime", "container", "duration_ms", "width", "height", "start_ms")
        stored: dict[str, Any] = {"bytes": self.file_size, "sha256": bytes.fromhex(self.file_sha256)}
        stored["header_sha256"] = hashlib.sha256(self.header).digest()
        return {"recording_id": recording_id} | stored | {name: getattr(self, name) for name in same}


@dataclass(frozen=True)
class Manifest:
    """One sealed recording. `gaps` as in its row; `sealed_at` is UTC."""

    recording: uuid.UUID
    sealed_at: datetime
    end_proven: bool
    day_key: str | None
    department_year_key: str
    duration_ms: int
    gaps: list[list[Any]]
    tracks: tuple[TrackEntry, ...]

    def encode(self) -> bytes:
        """The document's bytes: canonical JSON."""
        tracks = [
            asdict(track) | {"header": _text(track.header), "mime": track.mime} for track in self.tracks
        ]
        return canonical_json(
            asdict(self)
            | {
                "version": VERSION,
                "recording": str(self.recording),
                "sealed_at": self.sealed_at.astimezone(UTC).isoformat(timespec="microseconds"),
                "tracks": tracks,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """Read a manifest. Raises DamagedError("manifest")."""
        try:
            read = json.loads(data)
            if read["version"] != VERSION:
                raise ValueError("unknown version")
            tracks = [
                TrackEntry(
                    **{each.name: entry[each.name] for each in fields(TrackEntry)}
                    | {
                        "header": base64.b64decode(entry["header"], validate=True),
                        "recorded_as": _words(entry["recorded_as"]),
                        "codecs": _words(entry["codecs"]),
                    }
                )
                for entry in read["tracks"]
            ]
            known = {each.name: read[each.name] for each in fields(cls)}
            known |= {
                "recording": uuid.UUID(read["recording"]),
                "sealed_at": datetime.fromisoformat(read["sealed_at"]),
                "tracks": tuple(tracks),
            }
            return cls(**known)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DamagedError(kind="manifest") from error

    def track(self, name: str) -> TrackEntry | None:
        """The track of this name, if it is in the manifest."""
        return next((track for track in self.tracks if track.name == name), None)


def _words(value: Any) -> tuple[str, ...]:
    return tuple(str(each) for each in value)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
