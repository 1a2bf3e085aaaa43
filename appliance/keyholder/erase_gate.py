"""What is erased, as the keyholder sees it: by what it wrote down itself, and by a live order on the log.

The database may only say less than that: a mark without its row, or with a recording of somebody else,
erases nothing.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from appliance.audit.log import Action
from appliance.domain import OPEN_MARKS
from appliance.keyholder.gate import ORDER_SECONDS, committed, refused
from appliance.keyholder.heeded import Mark
from appliance.tables import attempt, erasure, legal_hold

# However many recordings there are, so many are erased in a day without being asked.
ALWAYS = 10
DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Plan:
    """What a mark leads to now. `person`: whose key goes (None: nobody's); `kept`: recordings that a hold
    keeps."""

    mark: uuid.UUID
    person: uuid.UUID | None
    recordings: tuple[uuid.UUID, ...]
    kept: tuple[uuid.UUID, ...]

    def told(self) -> dict[str, Any]:
        """As it stands in an order's details and on the keyholder's line."""
        return {
            "mark": str(self.mark),
            "person": str(self.person) if self.person else None,
            "recordings": [str(each) for each in self.recordings],
            "kept": [str(each) for each in self.kept],
        }


def plan(mark: Mark, held: Iterable[uuid.UUID]) -> Plan | None:
    """What a hold leaves of a mark; None where that is nothing."""
    kept = frozenset(held)
    if mark.person in kept:
        return None
    going = tuple(sorted(mark.recordings - kept, key=str))
    person = mark.person if mark.whole else None
    if not going and person is None:
        return None
    return Plan(mark.id, person, going, tuple(sorted(mark.recordings & kept, key=str)))


def marked(tx: Connection) -> set[uuid.UUID]:
    """The marks that the database has as neither withdrawn nor done."""
    return set(tx.scalars(select(erasure.c.id).where(erasure.c.state.in_(OPEN_MARKS))))


def held(tx: Connection) -> set[uuid.UUID]:
    """Persons and recordings that the database has under a hold."""
    rows = tx.execute(
        select(legal_hold.c.person_id, legal_hold.c.recording_id).where(legal_hold.c.lifted_at.is_(None))
    )
    return {each for row in rows for each in row if each is not None}


def holds(tx: Connection) -> set[uuid.UUID]:
    """Every hold that the database has, lifted or not."""
    return set(tx.scalars(select(legal_hold.c.id)))


def demand_order(
    tx: Connection, vault_id: uuid.UUID, event_id: uuid.UUID, mark: uuid.UUID
) -> tuple[bytes, dict[str, Any]]:
    """The hash of a committed, fresh order to erase what a mark names, and what it says.

    Raises KeyRefusedError (with `reason`).
    """
    found = committed(tx, event_id)
    event = found.body["event"]
    if event["action"] != Action.ERASE_RUN or event["outcome"] != "ok":
        raise refused("the event is no order to erase")
    if found.body["by"] != "fupan_worker" or event["object"] != {"type": "erasure", "id": str(mark)}:
        raise refused("the event orders something else")
    details = dict(event.get("details", {}))
    if details.pop("vault", None) != str(vault_id):
        raise refused("the event is about another vault")
    if found.now - dt.datetime.fromisoformat(found.body["at"]) > dt.timedelta(seconds=ORDER_SECONDS):
        raise refused("the event has expired")
    return found.hash, details


def are_theirs(tx: Connection, mark: Mark) -> bool:
    """Whether every recording of a mark is one of its person's."""
    rows = tx.execute(select(attempt.c.id, attempt.c.candidate_id).where(attempt.c.id.in_(mark.recordings)))
    return {row.id for row in rows if row.candidate_id == mark.person} == mark.recordings
