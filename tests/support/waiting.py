"""Waiting for what another process does of itself: that leaves no event here, so it is looked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def until(true: Callable[[], object], seconds: float = 30.0, every: float = 0.05) -> None:
    """Look `every` so often whether it is so. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"not so within {seconds:.0f} s")
        threading.Event().wait(every)
