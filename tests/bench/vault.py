"""The vault's own figures, each against a named peer in the same run: `make bench-vault`.

The floor is what the disk gives for the same bytes: one write and one fsync. age is the well-known encrypting
program, nginx the well-known program that keeps bodies as files. Rounds of ours and theirs take turns, so a
host that becomes slower becomes slower for both.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench import nginx, vault_scale
from tests.bench.figures import Goal, Sheet, median, p95

ROUNDS = 5
SIZES = (316_000, 1_250_000)  # a chunk of the room, and one at 5 Mbit/s
WRITERS = (1, 2, 4)
APPENDED = 60_000_000  # bytes a writer and round
SEALED_MIB = 256
SM4_MIB = 24  # SM4 is some 90 times slower here than AES
RANGES = 2000

Job = tuple[str, dict[str, Any]]
Answer = dict[str, Any]


def measure(sheet: Sheet, folder: Path) -> None:
    """Everything, on the disk that `folder` is on."""
    folder.mkdir(parents=True)
    if nginx.available():
        with nginx.running(folder / "nginx", nginx.free_port()) as peer:
            _appends(sheet, folder, peer.files)
    else:
        sheet.leave_out("vault.append.webdav", "nginx is not installed")
        _appends(sheet, folder, None)
    _sealing(sheet, folder)
    _reading(sheet, folder)
    _suite_2(sheet, folder)
    vault_scale.measure(sheet, folder / "scale")


def _appends(sheet: Sheet, folder: Path, webdav: int | None) -> None:
    for size in SIZES:
        count = APPENDED // size
        for writers in WRITERS:
            jobs: list[Job] = [
                ("journal", {"size": size, "count": count}),
                ("plain_append", {"size": size, "count": count}),
            ]
            if webdav is not None:
                jobs.append(("webdav", {"size": size, "count": count, "port": webdav}))
            ours, floor, *rest = _paired(folder, jobs, writers)
            name = f"vault.append.{size // 1000}kB.{writers}w"
            sheet.add(f"{name}.ratio", _ratio(ours, floor), "times", Goal("≥", 0.85), "of plain write+fsync")
            sheet.add(f"{name}.rate", median(ours), "MB/s")
            for rates in rest:
                sheet.add(
                    f"{name}.webdav",
                    _ratio(ours, rates),
                    "times",
                    note="of nginx WebDAV, which syncs nothing",
                )


def _sealing(sheet: Sheet, folder: Path) -> None:
    for writers in WRITERS:
        mib = SEALED_MIB // writers
        jobs: list[Job] = [("seal", {"mib": mib, "suite": 1}), ("plain_write", {"mib": mib})]
        if shutil.which("age"):
            jobs.append(("age", {"mib": mib}))
        ours, floor, *rest = _paired(folder, jobs, writers)
        sheet.add(f"vault.seal.{writers}w.ratio", _ratio(ours, floor), "times", note="of plain write+fsync")
        sheet.add(f"vault.seal.{writers}w.rate", median(ours), "MB/s")
        for rates in rest:
            sheet.add(f"vault.seal.{writers}w.age", _ratio(ours, rates), "times", note="of age, then fsync")
    if not shutil.which("age"):
        sheet.leave_out("vault.seal.age", "age is not installed")


def _reading(sheet: Sheet, folder: Path) -> None:
    jobs: list[Job] = [("read", {"mib": SEALED_MIB, "suite": 1}), ("plain_read", {"mib": SEALED_MIB})]
    if shutil.which("age"):
        jobs.append(("age_read", {"mib": SEALED_MIB}))
    ours, floor, *rest = _paired(folder, jobs, 1)
    sheet.add(
        "vault.read.rate", median(ours) / 1000, "GB/s/core", Goal("≥", 1.5), "from the page cache, proven"
    )
    sheet.add("vault.read.ratio", _ratio(ours, floor), "times", note="of plain reads")
    for rates in rest:
        sheet.add("vault.read.age", _ratio(ours, rates), "times", note="of age -d")
    [[answer]] = [_round(folder, ("ranges", {"mib": SEALED_MIB, "count": RANGES}), 1)]
    seconds = answer["seconds_each"]
    sheet.add("vault.range_1MiB.p95", p95(seconds) * 1000, "ms", Goal("<", 2), f"{RANGES} random ranges")
    sheet.add("vault.range_1MiB.p50", median(seconds) * 1000, "ms")


def _suite_2(sheet: Sheet, folder: Path) -> None:
    jobs: list[Job] = [
        ("seal", {"mib": SM4_MIB, "suite": 2}),
        ("read", {"mib": SM4_MIB, "suite": 2}),
        ("raw_sm4", {"mib": SM4_MIB, "mode": "ctr"}),
        ("raw_sm4", {"mib": SM4_MIB, "mode": "gcm"}),
    ]
    written, read, counter, gcm = _paired(folder, jobs, 1)
    for name, rates in (("seal", written), ("read", read)):
        sheet.add(
            f"vault.suite_2.{name}", _ratio(rates, counter), "times", note="of OpenSSL's SM4 alone (CTR)"
        )
        sheet.add(f"vault.suite_2.{name}_gcm", _ratio(rates, gcm), "times", note="of OpenSSL's SM4-GCM")
    sheet.add("vault.suite_2.raw", median(counter), "MB/s", note="SM4 alone (CTR)")
    sheet.add("vault.suite_2.raw_gcm", median(gcm), "MB/s")


def _paired(folder: Path, jobs: Sequence[Job], writers: int) -> list[list[float]]:
    """Megabytes (10⁶) a second of each job in each round, the jobs taking turns."""
    rates: list[list[float]] = [[] for _ in jobs]
    for _ in range(ROUNDS):
        for job, found in zip(jobs, rates, strict=True):
            answers = _round(folder, job, writers)
            found.append(sum(a["bytes"] for a in answers) / 1e6 / max(a["seconds"] for a in answers))
    return rates


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' own ratios."""
    return median([a / b for a, b in zip(ours, theirs, strict=True)])


def _round(folder: Path, job: Job, writers: int) -> list[Answer]:
    """Run one job in so many processes that begin together."""
    kind, arguments = job
    work = folder / "work"
    command = [sys.executable, "-m", "tests.bench.vault_job", kind, str(work), json.dumps(arguments)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(writers)
    ]
    try:
        for process in processes:
            _line(process)
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return [json.loads(_line(process)) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
        shutil.rmtree(work, ignore_errors=True)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args!r} ended early")
    return line
