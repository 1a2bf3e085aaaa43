"""Runs a workload in a process of its own under strace, which makes one system call fail or kills it there.

`python -m tests.crash.tracing WORKLOAD FOLDER` is that process: WORKLOAD is a pickled workload, and what it
acknowledges are lines on standard output.
"""

from __future__ import annotations

import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.crash.workload import Workload
from tests.support import nonces

STRACE = shutil.which("strace")
CALLS = (
    "openat,mkdir,mkdirat,write,pwrite64,pwritev,pwritev2,ftruncate,fsync,fdatasync,"
    "rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,copy_file_range,sendfile,fallocate"
)
TRIES = 4
FAULTS = ("error=EIO", "error=ENOSPC", "signal=SIGKILL")


@dataclass(frozen=True)
class Write:
    """The `ordinal`-th call called `name` of a run, which writes below the workload's folder."""

    name: str
    ordinal: int


def traced(given: Path, folder: Path, log: Path, *options: str) -> tuple[list[str], list[str]]:
    """Run the workload in the file `given`; what it acknowledged, and the traced calls."""
    command = [str(STRACE), "-f", "-y", "-qq", "-e", "signal=none", "-e", f"trace={CALLS}", "-o", str(log)]
    command += [*options, sys.executable, "-B", "-m", "tests.crash.tracing", str(given), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.stdout.split("\n")[:-1], log.read_text(encoding="utf-8", errors="replace").splitlines()


def writes(lines: list[str], folder: Path) -> Iterator[Write]:
    """Each traced call that writes below `folder`."""
    counts: dict[str, int] = {}
    for line in lines:
        found = re.match(r"\d+ +(\w+)\((.*)", line)
        if found is None:
            continue
        name, rest = found.groups()
        counts[name] = counts.get(name, 0) + 1
        if str(folder) in rest and (name != "openat" or "O_CREAT" in rest or "O_TMPFILE" in rest):
            yield Write(name, counts[name])


def crash(given: Path, template: Path, folder: Path, write: Write, fault: str) -> list[str]:
    """Let the workload meet the fault at this write, in a copy of `template`; what it acknowledged.

    strace counts in each thread. Where two threads may do the work, now and then the other one does a part
    of it and none comes to this write: then the whole is done again.
    """
    for _ in range(TRIES):
        shutil.copytree(template, folder)
        done = _met(given, folder, write, fault)
        if done is not None:
            return done
        shutil.rmtree(folder)
    raise AssertionError(f"{write.name} {write.ordinal} was not met in {TRIES} runs")


def _met(given: Path, folder: Path, write: Write, fault: str) -> list[str] | None:
    """What was acknowledged, or None when the fault was not met."""
    log = folder.with_suffix(".log")
    inject = f"inject={write.name}:{fault}:when={write.ordinal}"
    done, lines = traced(given, folder, log, "-e", inject)
    if fault.startswith("signal"):
        hit = lines[-1] if lines[-1].endswith("= ?") else None
    else:
        # A thread that is started by a retry may meet the fault as well.
        hit = next((line for line in lines if "(INJECTED)" in line), None)
    if hit is None:
        return None
    assert str(folder) in hit, (write, fault, hit)
    return done


def main() -> None:
    """Be the process."""
    nonces.count_in_this_process()
    with Path(sys.argv[1]).open("rb") as file:
        workload: Workload = pickle.load(file)
    workload.run(Path(sys.argv[2]), lambda line: os.write(1, f"{line}\n".encode()))


if __name__ == "__main__":
    main()
