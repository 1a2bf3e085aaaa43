"""Each night one of 28 parts of everything is read whole, so that all of it is within four weeks.

What is damaged is an alarm, and its recording needs a person. The part whose turn is longest ago comes next,
so a night that is missed puts nothing off by more than itself.
"""

from __future__ import annotations

import datetime as dt
import logging

from sqlalchemy import select
from sqlalchemy.dialects import postgresql

from appliance import jobs
from appliance.audit import log
from appliance.child import ChildStoppedError
from appliance.config import Settings
from appliance.database import transaction
from appliance.tables import checked_part
from appliance.upkeep import damage
from appliance.upkeep.check import Report, look_over
from storage.vault import Part

logger = logging.getLogger(__name__)

PARTS = 28


@jobs.task("check_part", retry=False)
def check_part(work: jobs.Work) -> None:
    """Read the part whose turn it is. Cut short, it is read again; run twice, it reads the next part too, and
    what was found before is no second alarm."""
    part = Part(_next_part(work.settings), PARTS)

    def told(_bytes: int) -> None:
        if work.stopping():
            raise ChildStoppedError

    report = look_over(work.settings, part, told, log.Actor.unit("worker"))
    note(work.settings, part, report)


def note(settings: Settings, part: Part, report: Report) -> None:
    """Write down that a part was read, what was found, and what that means for its recordings."""
    found = report.damage
    if found:
        logger.error("part %s of %s: %s findings need a person", part.number, part.count, len(found))
    damage.mark(settings, found, log.Actor.unit("worker"))
    with transaction("worker", settings) as tx:
        values = {
            "ended_at": report.ended,
            "files": report.files.whole,
            "by_tags": report.files.by_tags,
            "by_digest": report.files.by_digest,
            "damaged": len(found),
        }
        tx.execute(
            postgresql.insert(checked_part)
            .values(part=part.number, **values)
            .on_conflict_do_update(index_elements=["part"], set_=values)
        )
        if found:
            damage.alarm(tx, settings, found)


def _next_part(settings: Settings) -> int:
    with transaction("worker", settings) as tx:
        rows = tx.execute(select(checked_part.c.part, checked_part.c.ended_at)).all()
    ended = {row.part: row.ended_at for row in rows}
    never = dt.datetime.min.replace(tzinfo=dt.UTC)
    return min(range(1, PARTS + 1), key=lambda number: (ended.get(number, never), number))
