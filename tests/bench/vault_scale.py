"""How long a vault of many recordings takes to open, to list, and to be looked over quickly.

Run as `python -m tests.bench.vault_scale FOLDER` it measures one vault in a process of its own, whose memory
is then that of these three things alone.
"""

from __future__ import annotations

import json
import math
import os
import random
import resource
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

from storage.check import Seen, check
from storage.segment_format import TAG_BYTES, new_header
from storage.vault import Vault
from tests.bench.figures import Goal, Sheet
from tests.storage import builders

COUNTS = (1_000, 10_000, 100_000)
# What the product leaves of an interview with a camera.
FILES = (
    ("track", "camera"),
    ("document", "camera.head"),
    ("document", "manifest"),
    ("document", "timeline"),
    ("document", "transcript"),
    ("document", "signals"),
    ("document", "peaks"),
    ("document", "report"),
)
BODY = bytes(100 + TAG_BYTES)


def measure(sheet: Sheet, folder: Path) -> None:
    """The three counts; the goals are for the largest."""
    took: dict[int, float] = {}
    for count in COUNTS:
        shutil.rmtree(folder, ignore_errors=True)
        _fill(folder, count)
        command = [sys.executable, "-m", "tests.bench.vault_scale", str(folder)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        if found["recordings"] != count or found["findings"]:
            raise RuntimeError(f"the vault of {count} recordings reads as {found}")
        last = count == COUNTS[-1]
        name = f"vault.scale.{count}"
        took[count] = found["list"] + found["check"]
        sheet.add(f"{name}.list", found["list"], "s", note=f"{found['files']} files")
        sheet.add(f"{name}.check_quick", found["check"], "s")
        sheet.add(f"{name}.find", found["check"] / _find(folder), "times", note="check --quick, of GNU find")
        sheet.add(
            f"{name}.whole", took[count], "s", Goal("<", 5) if last else None, "open, list, check --quick"
        )
        sheet.add(f"{name}.memory", found["memory_mb"], "MB", Goal("<", 200) if last else None)
    shutil.rmtree(folder, ignore_errors=True)
    few, many = COUNTS[0], COUNTS[-1]
    slope = math.log(took[many] / took[few]) / math.log(many / few)
    sheet.add("vault.scale.exponent", slope, "", Goal("≤", 1.05), "1 is linear in the count of recordings")


def _find(root: Path) -> float:
    """Seconds in which GNU find asks for the length of every file: the floor of what looks at each."""
    began = time.perf_counter()
    command = ["find", str(root), "-type", "f", "-printf", "%s\\n"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _fill(root: Path, count: int) -> None:
    """Recordings with the usual files, small: only names, headers and lengths are looked at."""
    vault, rng = Vault(root), random.Random(count)
    for _ in range(count):
        recording = uuid.UUID(int=rng.getrandbits(128), version=4)
        for kind, name in FILES:
            path = vault.path(recording, kind, name)
            header = new_header(builders.VAULT, recording, kind, name)
            try:
                fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
            except FileNotFoundError:
                path.parent.mkdir(parents=True)
                fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
            os.write(fd, header.raw + BODY)
            os.close(fd)


def main() -> None:
    """Measure the vault in the folder that is named."""
    root = Path(sys.argv[1])
    began = time.perf_counter()
    vault = Vault(root)
    recordings = sum(1 for _ in vault.recordings())
    listed = time.perf_counter()
    seen = Seen()
    findings = len(check(vault, seen=seen))
    checked = time.perf_counter()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "recordings": recordings,
                "files": seen.files,
                "list": listed - began,
                "check": checked - listed,
                "findings": findings,
                "memory_mb": memory,
            }
        )
    )


if __name__ == "__main__":
    main()
