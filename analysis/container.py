"""Which media is read, and what it is written as.

Only the formats and codecs that a browser's recorder produces are ever opened; libav knows hundreds more,
and each is a parser that a stranger could reach.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO

import av
from av.container import InputContainer
from av.stream import Stream

from .errors import MediaError

VIDEO_CODECS = {"vp8", "vp9", "av1", "h264", "hevc"}
AUDIO_CODECS = {"opus", "vorbis", "aac", "flac"}
READ_BUFFER = 1 << 18
WEBM, MP4, MATROSKA = "webm", "mp4", "matroska"
MIME = {WEBM: "video/webm", MP4: "video/mp4", MATROSKA: "video/x-matroska"}
# Upper bounds of what an index entry takes: in mp4 every sample may need a size, a duration, a composition
# offset, a chunk offset, a chunk description and a sync mark; in Matroska a cue point. Too small an index
# would lose the file, too large costs a few zero bytes.
MP4_BYTES_A_SAMPLE = 44
MATROSKA_BYTES_A_CUE = 40
INDEX_BASE = 65_536


FORMATS = "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2"


@dataclass(frozen=True)
class Codec:
    """What decides whether two epochs can share one stream of the output."""

    kind: str  # "video" or "audio"
    name: str
    setup: bytes  # the decoder's setup where it is kept outside the samples and may differ, else empty


def open_input(file: IO[bytes]) -> InputContainer:
    """Open a recording for reading. Raises MediaError("unreadable")."""
    try:
        return av.open(file, "r", buffer_size=READ_BUFFER, container_options={"format_whitelist": FORMATS})
    except (av.FFmpegError, ValueError, EOFError) as error:
        reason = type(error).__name__
        raise MediaError("unreadable", f"not a recording that can be read ({reason})") from error


def media_streams(container: InputContainer, *, every: bool = False) -> list[Stream]:
    """The first picture and the first sound that may be decoded, or every one of them. Raises MediaError.

    kinds: `no_media` (nothing in it), `unknown_codec`.
    """
    found: dict[str, list[Stream]] = {"video": [], "audio": []}
    unknown = ""
    for stream in container.streams:
        if stream.type not in found or (found[stream.type] and not every):
            continue
        name = _codec_name(stream)
        if name in (VIDEO_CODECS if stream.type == "video" else AUDIO_CODECS):
            found[stream.type].append(stream)
        else:
            unknown = name
    chosen = found["video"] + found["audio"]
    if not chosen:
        if unknown:
            raise MediaError("unknown_codec", f"the codec {unknown} is not one that is read here")
        raise MediaError("no_media", "there is neither picture nor sound")
    return chosen


def _codec_name(stream: Stream) -> str:
    context = stream.codec_context
    if context is None:
        return "unknown"
    # The decoder's own name may differ from the codec's (libdav1d for av1).
    return str(context.codec.canonical_name)


def codec_of(stream: Stream) -> Codec:
    """The identity of a stream for sharing an output stream."""
    name = _codec_name(stream)
    outside = name in ("h264", "hevc", "aac", "flac", "vorbis")
    setup = bytes(stream.codec_context.extradata or b"") if outside else b""
    return Codec(stream.type, name, setup)


def choose_format(codecs: Iterable[Codec]) -> str:
    """The container that browsers play these in: webm, mp4, or Matroska when they do not fit either.

    Two codecs of a kind (the candidate changed browsers) need Matroska; a player shows the first of them.
    """
    codecs = set(codecs)
    names = {codec.name for codec in codecs}
    if len(codecs) == len({codec.kind for codec in codecs}):
        if names <= {"vp8", "vp9", "av1", "opus", "vorbis"}:
            return WEBM
        if names <= {"h264", "hevc", "vp9", "av1", "opus", "aac", "flac"}:
            return MP4
    return MATROSKA


def index_bytes(container: str, samples: int, cues: int) -> int:
    """How much room to keep in front for the index, in bytes."""
    if container == MP4:
        return INDEX_BASE + samples * MP4_BYTES_A_SAMPLE
    return INDEX_BASE + cues * MATROSKA_BYTES_A_CUE


def output_options(container: str, index: int) -> dict[str, str]:
    """Muxer options that put the index in front without reopening the file."""
    if container == MP4:
        return {"moov_size": str(index)}
    return {"reserve_index_space": str(index), "cluster_time_limit": "2000"}
