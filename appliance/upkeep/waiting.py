"""What waits for the vault, taken up in order once it is unlocked.

While the vault is locked a seal or an analysis ends its job and leaves a row that says so: nothing tries
again and again. What was finished first is sealed first, whatever the order in which the jobs met the lock.
"""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from appliance import jobs, outages
from appliance.config import Settings
from appliance.database import transaction
from appliance.domain import AnalysisState, RecordingState
from appliance.errors import KeyholderDownError
from appliance.keyholder.client import Keyholder
from appliance.tables import analysis, attempt, recording


@jobs.task("take_up_waiting", retry=False)
def take_up_waiting(work: jobs.Work) -> None:
    """Order what waits, once. What is ordered waits no more, so a second run finds nothing."""
    take_up(work.settings)


def take_up(settings: Settings) -> int:
    """Order every seal and then every analysis that waits for the vault, in the order in which the interviews
    ended; returns how many. Nothing while the vault is locked or nobody says that it is not."""
    try:
        if Keyholder(settings).status().locked:
            return 0
    except KeyholderDownError:
        return 0
    with transaction("worker", settings) as tx:
        return _take_up_seals(tx) + _take_up_analyses(tx)


def _take_up_seals(tx: Connection) -> int:
    waiting = tx.execute(
        select(recording.c.id, recording.c.failures)
        .join(attempt, attempt.c.id == recording.c.id)
        .where(recording.c.state == RecordingState.SEALING, recording.c.problem.in_(outages.VAULT))
        .order_by(attempt.c.finished_at, attempt.c.id)
        .with_for_update(of=recording)
    ).all()
    for row in waiting:
        tx.execute(update(recording).where(recording.c.id == row.id).values(problem=None, failures=0))
        _order(tx, "seal", str(row.id), row.failures)
    return len(waiting)


def _take_up_analyses(tx: Connection) -> int:
    waiting = tx.execute(
        select(analysis.c.recording_id, analysis.c.failures)
        .join(attempt, attempt.c.id == analysis.c.recording_id)
        .where(analysis.c.state == AnalysisState.QUEUED, analysis.c.reason.in_(outages.VAULT))
        .order_by(attempt.c.finished_at, attempt.c.id)
        .with_for_update(of=analysis)
    ).all()
    for row in waiting:
        known = analysis.c.recording_id == row.recording_id
        tx.execute(update(analysis).where(known).values(reason=None, failures=0))
        _order(tx, "analyse", str(row.recording_id), row.failures)
    return len(waiting)


def _order(tx: Connection, task: str, recording_id: str, failures: int) -> None:
    jobs.enqueue(tx, task, lock=f"recording:{recording_id}", recording=recording_id, **jobs.tally(failures))
