"""Which files a process makes or opens for writing, as the kernel is asked for them."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support.waiting import until

PROGRAM = Path("/usr/bin/strace")
CALLS = "open,openat,openat2,creat,memfd_create,mknod,mknodat"
_WRITES = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TMPFILE|creat\(|memfd_create\(|mknod")


@contextlib.contextmanager
def files_written(processes: Sequence[int], log: Path) -> Iterator[list[str]]:
    """While the block runs; afterwards the list holds a line for each file, with the folder it is in."""
    attach = [argument for process in processes for argument in ("-p", str(process))]
    command = [str(PROGRAM), "-f", "-qq", "-y", "-s", "4096", "-e", f"trace={CALLS}", "-o", str(log), *attach]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    found: list[str] = []
    try:
        until(lambda: all(_tracer_of(process) == tracer.pid for process in processes))
        yield found
    finally:
        tracer.terminate()
        tracer.wait(20)
    found += [line for line in log.read_text().splitlines() if _WRITES.search(line)]


def _tracer_of(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"^TracerPid:\s+(\d+)", status, re.MULTILINE)[1])
