"""The product's own web processes, started by the command that the product starts them with."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.embedded import address, processes
from appliance.embedded.layout import Layout
from tests.bench import nginx, usage

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class WebProcess:
    """A running web process of the product."""

    port: int
    pid: int

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds that it and its workers used so far."""
        return usage.cpu_of_session(self.pid)


@contextlib.contextmanager
def running(name: str, settings_file: Path) -> Iterator[WebProcess]:
    """The process `name` (staff or intake) for the site of a settings file."""
    port = nginx.free_port()
    where = address.resolve("localhost", port if name == "staff" else port - 1)
    [program] = [
        each for each in processes.programs(Layout(settings_file.parent), where, None) if each.name == name
    ]
    environment = {**os.environ, "FUPAN_CONFIG": str(settings_file), "PYTHONPATH": str(ROOT)}
    with (settings_file.parent / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            program.command, env=environment, stdout=log, stderr=log, cwd=ROOT, start_new_session=True
        )
    try:
        nginx.wait_for(port, process, 60)
        yield WebProcess(port, process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
