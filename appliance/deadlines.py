"""When the time of an attempt is over, as the database asks it: for ending it, and for telling that it did
not end."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Float, and_, cast, func, literal, or_

from appliance.domain import OPEN_STATES, AttemptState, Limits
from appliance.tables import attempt


def overdue(moment: datetime) -> ColumnElement[bool]:
    """Attempts that are open although, at `moment`, their time was over: never begun and past the deadline,
    or begun and past the upload grace as well."""
    hours = cast(attempt.c.snapshot["limits"]["grace_hours"].astext, Float)
    closes = attempt.c.deadline + func.coalesce(hours, Limits.grace_hours) * literal(timedelta(hours=1))
    return and_(
        attempt.c.state.in_(OPEN_STATES),
        attempt.c.deadline < moment,
        or_(attempt.c.state == AttemptState.INVITED, closes < moment),
    )
