"""What the vault does, one thing a workload, so that each of its writes can be made to fail.

`workloads()` lists them; `tracing` runs one in a process of its own under strace, `power_cut` in this one on
a disk that can lose its power. tests/promises/test_crash_at_every_write.py is the promise.
"""

from __future__ import annotations

from tests.crash.changes import Rekeying, Resharing, Rotating
from tests.crash.documents import Documents
from tests.crash.keys import Erasing, FirstUnlock, KeyBackup
from tests.crash.moving import Moving
from tests.crash.recording import Recording
from tests.crash.removing import Removing
from tests.crash.workload import Workload


def workloads(size: int = 1) -> list[Workload]:
    """Every workload, in both suites where it encrypts itself; `size` is how much each does."""
    sealed = [make(size, suite) for make in (Recording, Documents) for suite in (1, 2)]
    keys = (FirstUnlock, Erasing, KeyBackup, Rekeying, Rotating, Resharing, Moving, Removing)
    return [*sealed, *(make(size) for make in keys)]
