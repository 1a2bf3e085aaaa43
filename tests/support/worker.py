"""A real worker on the real queue that ends when nothing is left to run now."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import procrastinate

from appliance import jobs
from appliance.config import Settings


def run_jobs(settings: Settings) -> None:
    """Run every job that may run now, and those that these order, until none is left."""

    async def drain() -> None:
        connector = procrastinate.PsycopgConnector(
            conninfo=settings.database_url("worker", driver="postgresql"), min_size=1, max_size=4
        )
        with jobs.app.replace_connector(connector):
            async with jobs.app.open_async():
                await jobs.app.run_worker_async(
                    wait=False,
                    concurrency=1,
                    delete_jobs="successful",
                    listen_notify=False,
                    additional_context={"settings": settings},
                    install_signal_handlers=False,
                )

    asyncio.run(drain())


@contextlib.contextmanager
def worker_process(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """`fupan worker` as a process of its own, killed at the end of the block if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from appliance.cli import main; main()", "worker"],
        env={**os.environ, "FUPAN_CONFIG": str(settings.data / "fupan.toml")},
        stdout=subprocess.DEVNULL,
        stderr=(settings.data / "worker.log").open("ab"),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
