"""Sealed documents of a recording: their names, their versions, which are the newest.

Words never stand in the database; the `document` table only says which documents there are.
"""

from __future__ import annotations

import uuid

from sqlalchemy import Connection, func, select

from appliance.tables import document

TIMELINE = "timeline"
ANALYSED = ("transcript", "signals", "peaks", "report")


def file_name(name: str, version: int) -> str:
    """The name in the vault: a further version is a file of its own, and the earlier ones stay."""
    return name if version == 1 else f"{name}.v{version}"


def newest_versions(tx: Connection, recording_id: uuid.UUID) -> dict[str, int]:
    """Document name → newest version."""
    rows = tx.execute(
        select(document.c.name, func.max(document.c.version).label("version"))
        .where(document.c.recording_id == recording_id)
        .group_by(document.c.name)
    )
    return {row.name: row.version for row in rows}
