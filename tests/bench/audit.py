"""The access log: what an append costs while many write, and how fast the chain is verified."""

from __future__ import annotations

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import text

from appliance.audit import log
from appliance.config import Settings
from appliance.database import transaction
from tests.bench.figures import Goal, Sheet, median, p95
from tests.bench.stand import Stand

WRITERS, EVENTS_A_SECOND, SECONDS = 8, 500, 12.0
VERIFIED, BATCH = 100_000, 1000


def measure(sheet: Sheet, stand: Stand) -> None:
    """Append at a steady rate, then verify a chain of VERIFIED events."""
    calls, commits, rate = _append(stand.settings)
    about = f"{WRITERS} writers, {rate:.0f} events/s reached, {SECONDS:.0f} s"
    sheet.add("audit.append.p95", p95(commits) * 1000, "ms", Goal("<", 2), f"append and commit, {about}")
    sheet.add("audit.append.p50", median(commits) * 1000, "ms")
    sheet.add("audit.append.call_p95", p95(calls) * 1000, "ms", None, "without the commit")
    with transaction("auditor", stand.settings) as tx:
        log.verify(tx)  # the first reading pays for what the cache does not hold
    _fill(stand.settings)
    begun = time.monotonic()
    with transaction("auditor", stand.settings) as tx:
        found = log.verify(tx)
    elapsed = time.monotonic() - begun
    if not found.ok:
        raise RuntimeError(f"the chain does not verify: {found}")
    about = f"from {found.count} events in {elapsed:.2f} s"
    sheet.add("audit.verify.million", elapsed / found.count * 1e6, "s", Goal("<", 10), about)


def _append(settings: Settings) -> tuple[list[float], list[float], float]:
    """Seconds of each append alone and with its commit, and the events a second that were reached."""
    calls: list[float] = []
    commits: list[float] = []
    start = time.monotonic() + 0.5
    interval = WRITERS / EVENTS_A_SECOND

    def write(writer: int) -> None:
        actor, pause = log.Actor.unit("bench"), threading.Event()
        due = start + interval * writer / WRITERS
        while due < start + SECONDS:
            pause.wait(max(0.0, due - time.monotonic()))
            with transaction("staff", settings) as tx:
                begun = time.monotonic()
                log.append(tx, log.Action.REPLAY_OPEN, actor, "recording", uuid.uuid4())
                calls.append(time.monotonic() - begun)
            commits.append(time.monotonic() - begun)
            due += interval

    with ThreadPoolExecutor(WRITERS) as pool:
        for done in [pool.submit(write, writer) for writer in range(WRITERS)]:
            done.result()
    return calls, commits, len(commits) / (time.monotonic() - start)


def _fill(settings: Settings) -> None:
    """Events as the product writes them, a thousand a transaction."""
    for _ in range(VERIFIED // BATCH):
        with transaction("staff", settings) as tx:
            tx.execute(
                text(
                    'SELECT audit_append(\'{"action":"replay:open","actor":{"id":"bench","kind":'
                    '"unit"},"id":"\' || gen_random_uuid() || \'","object":{"id":"\' ||'
                    ' gen_random_uuid() || \'","type":"recording"},"outcome":"ok"}\')'
                    " FROM generate_series(1, :count)"
                ),
                {"count": BATCH},
            )
