"""What a candidate agrees to now: of each purpose, the consent in the newest of intake's records counts.

Records are numbered under a lock as they come, so the order holds whatever intake's clock did meanwhile.
"""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import Connection, Row, select
from sqlalchemy.dialects.postgresql import distinct_on

from appliance.domain import ConsentPurpose
from appliance.tables import consent


def newest(tx: Connection, attempt_id: uuid.UUID) -> dict[str, Row[Any]]:
    """Purpose → the row that counts; a purpose that was never asked about is absent."""
    rows = tx.execute(
        select(consent)
        .where(consent.c.attempt_id == attempt_id)
        .order_by(consent.c.purpose, consent.c.seq.desc(), consent.c.at.desc())
        .ext(distinct_on(consent.c.purpose))
    )
    return {row.purpose: row for row in rows}


def granted(tx: Connection, attempt_id: uuid.UUID, purpose: ConsentPurpose) -> bool:
    """Whether the candidate agrees to this now."""
    row = newest(tx, attempt_id).get(purpose)
    return row is not None and bool(row.granted)
