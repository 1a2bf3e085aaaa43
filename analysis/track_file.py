"""One planned track into its sealed file and its head, read back and digested."""

from __future__ import annotations

from typing import Any

from storage.stream import SealedHeader, SealedWriter, VaultError, digests, head_start

from .documents import Output
from .errors import OutputError
from .remux import Advance, TrackPlan, TrackWriter, describe, layout_of

_PIECE = 1 << 20


def write_track(plan: TrackPlan, entry: dict[str, Any], advance: Advance) -> dict[str, Any]:
    """Write the track that `entry` of a request names, and its head (`entry["head"]`); what it became.

    A track in which nothing can be used leaves no file. `advance(bytes)` is told how far each epoch came.
    Raises OutputError.
    """
    if not plan.usable:
        return describe(plan, None, 0)
    layout, output, head = layout_of(plan), Output.from_request(entry), Output.from_request(entry["head"])
    writer = SealedWriter(output.fd, output.header, output.key, layout.head_budget)
    try:
        TrackWriter(plan, layout, writer).write(advance)
        writer.close()
        with memoryview(writer.head)[: min(layout.head_bytes, writer.size)] as first:
            _write_head(head, writer.header, writer.size, first)
        known = digests(output.fd, output.key)
    except (VaultError, OSError, ValueError, OverflowError) as error:
        raise OutputError("the track could not be written", error) from error
    finally:
        if not writer.closed:
            writer.abandon()
    return describe(plan, layout, writer.size) | {
        "sha256": known.plaintext,
        "file_sha256": known.file,
        "file_bytes": known.file_bytes,
    }


def _write_head(output: Output, header: SealedHeader, size: int, first: memoryview) -> None:
    with SealedWriter(output.fd, output.header, output.key, head_budget=0) as writer:
        writer.write(head_start(header, size))
        for start in range(0, len(first), _PIECE):
            writer.write(first[start : start + _PIECE])
