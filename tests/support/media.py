"""Media as a browser's recorder makes it."""

from __future__ import annotations

import functools

from tests.analysis.recorder import pieces, webm

__all__ = ["pieces", "recorded"]


@functools.cache
def recorded(seconds: float = 4.0) -> tuple[bytes, ...]:
    """Chunks of about two seconds each of a small webm with sound and picture."""
    return tuple(pieces(webm(seconds), max(1, round(seconds / 2))))
