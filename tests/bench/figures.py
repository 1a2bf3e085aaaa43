"""Figures, their goals, and the machine they were measured on."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

PACKAGES = ("av", "cryptography", "flask", "gunicorn", "numpy", "onnxruntime", "sqlalchemy")
PROGRAMS = {
    "nginx": ["nginx", "-v"],
    "postgresql": ["/usr/lib/postgresql/15/bin/postgres", "--version"],
    "chromium": ["chromium", "--version"],
}


@dataclass(frozen=True)
class Goal:
    """A bound: `sense` is "≥", "≤" or "<"."""

    sense: str
    bound: float

    def met(self, value: float) -> bool:
        """Whether a value keeps the bound."""
        return {"≥": value >= self.bound, "≤": value <= self.bound, "<": value < self.bound}[self.sense]

    def __str__(self) -> str:
        return f"{self.sense}{self.bound:g}"


@dataclass(frozen=True)
class Figure:
    """One measured number. Without a goal it only explains another one."""

    name: str
    value: float
    unit: str
    goal: str
    result: str
    note: str = ""

    def line(self) -> str:
        """`name value unit goal ok|miss`, and what it was measured on."""
        value = f"{self.value:.3g}" if abs(self.value) < 100 else f"{self.value:.0f}"
        shown = f"{self.name} {value} {self.unit} {self.goal} {self.result}"
        return f"{shown}  # {self.note}" if self.note else shown


@dataclass
class Sheet:
    """Collects figures and says each at once."""

    say: Callable[[str], None] = print
    figures: list[Figure] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def add(self, name: str, value: float, unit: str, goal: Goal | None = None, note: str = "") -> None:
        """Take one figure in; without a goal its line reads `- -`."""
        result = ("ok" if goal.met(value) else "miss") if goal else "-"
        figure = Figure(name, float(value), unit, str(goal) if goal else "-", result, note)
        self.figures.append(figure)
        self.say(figure.line())

    def leave_out(self, part: str, reason: str) -> None:
        """Say that a part was not measured, and why."""
        self.left_out[part] = reason
        self.say(f"# {part}: not measured: {reason}")

    def fail(self, part: str, reason: str) -> None:
        """Say that a part broke off."""
        self.failed.append(part)
        self.leave_out(part, reason)

    def write(self, path: Path, machine: dict[str, object]) -> None:
        """Everything as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = {
            "measured": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine,
            "figures": [asdict(figure) for figure in self.figures],
            "not_measured": self.left_out,
        }
        path.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def p95(values: Sequence[float]) -> float:
    """95th percentile."""
    return percentile(values, 0.95)


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return percentile(values, 0.5)


def machine() -> dict[str, object]:
    """CPU, cores, memory, kernel, versions, and how busy the machine is with other work."""
    return {
        "cpu": _proc("/proc/cpuinfo", r"model name\s*:\s*(.+)") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": int(_proc("/proc/meminfo", r"MemTotal:\s*(\d+)") or 0) // 1024,
        "kernel": platform.release(),
        "system": _proc("/etc/os-release", r'PRETTY_NAME="(.+)"') or platform.system(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        **{name: found for name, command in PROGRAMS.items() if (found := _version(command))},
        **{name: metadata.version(name) for name in PACKAGES},
    }


def _proc(path: str, pattern: str) -> str:
    try:
        found = re.search(pattern, Path(path).read_text())
    except OSError:
        return ""
    return found.group(1).strip() if found else ""


def _version(command: list[str]) -> str:
    if shutil.which(command[0]) is None:
        return ""
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    found = re.search(r"\d+(?:\.\d+)+", said.stdout + said.stderr)
    return found.group() if found else ""
