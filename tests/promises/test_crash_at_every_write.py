"""Promise: a crash never harms stored data.

Every system call that writes, in everything the vault does, is made to fail with EIO, with ENOSPC, and by
SIGKILL; and the power is cut after each of them, with what was not fsynced lost, torn or whole. Afterwards
`check` is clean, everything acknowledged is there, and the same work goes through without a manual step.
"""

from __future__ import annotations

import os
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.crash import power_cut, tracing, workloads
from tests.crash.workload import Workload

pytestmark = pytest.mark.promise
Record = Callable[[str, object], None]
# Everyday, each write of the smallest work meets one fault, each fourth write where looking at what is left
# takes long; in the long run, every write of more work meets each of them. The second suite makes the same
# system calls, so faults meet it in the long run only.
SMALL = [pytest.param(work, False, id=work.name) for work in workloads(1) if work.everyday]
LARGE = [pytest.param(work, True, id=f"more {work.name}", marks=pytest.mark.long) for work in workloads(4)]
FAULTED = [case for case in SMALL if case.values[0].suite == 1] + LARGE


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where it can be: what a sync costs is no matter here, and there are thousands."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as made:
        yield Path(made)


@pytest.mark.skipif(tracing.STRACE is None, reason="strace is not installed (apt-get install strace)")
@pytest.mark.parametrize(("work", "each"), FAULTED)
def test_every_write_may_fail(folder: Path, work: Workload, each: bool, record_property: Record) -> None:
    source, template = folder / "workload", folder / "template"
    source.write_bytes(pickle.dumps(work))
    template.mkdir()
    work.prepare(template)
    plain = shutil.copytree(template, folder / "plain")
    acknowledged, lines = tracing.traced(source, plain, folder / "plain.log")
    assert acknowledged == [line for line, _ in work.steps(plain)]
    work.require_done(plain, "no fault")
    found = list(tracing.writes(lines, plain))
    assert {write.name for write in found} >= work.calls

    def crash(case: tuple[int, tracing.Write, str]) -> None:
        number, write, fault = case
        after = folder / f"{number:05}"
        done = tracing.crash(source, template, after, write, fault)
        work.require_nothing_lost(after, done, f"{write.name} {write.ordinal} {fault}")
        shutil.rmtree(after)

    every = [(write, fault) for write in found for fault in tracing.FAULTS]
    pairs = every if each else [every[3 * i + i % 3] for i in range(0, len(found), 4 if work.slow else 1)]
    with ThreadPoolExecutor(os.cpu_count()) as runs:
        list(runs.map(crash, [(i, *pair) for i, pair in enumerate(pairs)]))
    record_property(
        "figure",
        f"{work.name}: {len(pairs)} faults over {len(found)} writes: 0 acknowledged lost, 0 manual steps",
    )


@pytest.mark.parametrize(("work", "each"), SMALL + LARGE)
def test_the_power_may_be_cut(folder: Path, work: Workload, each: bool, record_property: Record) -> None:
    root, states = folder / "plain", 0
    (root / "data").mkdir(parents=True)
    work.prepare(root / "data")
    with power_cut.recording(root) as log:
        work.run(root / "data", log.acknowledge)
    every = [(names_last, loss) for names_last in (False, True) for loss in power_cut.LOSSES]
    for moment in log.moments():
        acknowledged = log.acknowledged(moment)
        for names_last, loss in every if each or not work.slow else _two(every, moment):
            after = folder / f"{moment}-{names_last}-{loss}"
            log.rebuild(after, moment, loss, names_last=names_last)
            work.require_nothing_lost(after / "data", acknowledged, f"{work.name} {after.name}")
            shutil.rmtree(after)
            states += 1
    record_property("figure", f"{work.name}: {states} states after a power cut: 0 acknowledged lost")


def _two(every: list[tuple[bool, str]], moment: int) -> list[tuple[bool, str]]:
    """Two of the states that a cut may leave, others at each moment."""
    return [every[moment % len(every)], every[(moment + len(every) // 2) % len(every)]]
