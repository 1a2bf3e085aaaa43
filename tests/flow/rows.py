"""What the database says of the story."""

from __future__ import annotations

import json
import uuid
from typing import Any

from sqlalchemy import Row, select, text

from appliance.database import transaction
from appliance.tables import audit_event
from tests.support.product import Product


def rows(product: Product, table: Any, **equal: Any) -> list[Row[Any]]:
    """The rows of a table in which these columns have these values."""
    with transaction("worker", product.settings) as tx:
        return list(
            tx.execute(select(table).where(*(table.c[name] == value for name, value in equal.items())))
        )


def actions(product: Product, kind: str, about: uuid.UUID | str) -> list[str]:
    """What the audit log says of an object, in order."""
    return [event["action"] for event in audit(product, kind, about)]


def audit(product: Product, kind: str, about: uuid.UUID | str) -> list[dict[str, Any]]:
    """The audit events about an object, in order, as they were written."""
    with transaction("auditor", product.settings) as tx:
        bodies = tx.scalars(
            select(audit_event.c.body)
            .where(audit_event.c.object_type == kind, audit_event.c.object_id == str(about))
            .order_by(audit_event.c.seq)
        )
        return [dict(json.loads(body)["event"]) for body in bodies]


def jobs(product: Product, task: str, recording: uuid.UUID) -> list[str]:
    """States of the jobs of one name about one recording that were not done and forgotten."""
    statement = text(
        "SELECT status::text FROM procrastinate_jobs"
        " WHERE task_name = :task AND args->>'recording' = :recording"
    )
    with transaction("worker", product.settings) as tx:
        return list(tx.scalars(statement, {"task": task, "recording": str(recording)}))
