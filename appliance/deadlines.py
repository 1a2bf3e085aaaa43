"""When the time of an attempt is over, as the database asks it: for ending it, for telling that it did not
end, and for knowing what may still arrive."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Float, and_, cast, func, literal, or_

from appliance.domain import OPEN_STATES, AttemptState, Limits
from appliance.tables import attempt


def grace() -> ColumnElement[timedelta]:
    """How long after its deadline an attempt's waiting uploads are taken."""
    hours = cast(attempt.c.snapshot["limits"]["grace_hours"].astext, Float)
    return func.coalesce(hours, Limits.grace_hours) * literal(timedelta(hours=1))


def overdue(moment: datetime) -> ColumnElement[bool]:
    """Attempts that are open although, at `moment`, their time was over: never begun and past the deadline,
    or begun and past the upload grace as well."""
    return and_(
        attempt.c.state.in_(OPEN_STATES),
        attempt.c.deadline < moment,
        or_(attempt.c.state == AttemptState.INVITED, attempt.c.deadline + grace() < moment),
    )
