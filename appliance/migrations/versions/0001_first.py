"""Make everything: tables, audit log, queue, grants."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

PARTS = ("tables", "audit", "procrastinate", "grants")


def upgrade() -> None:
    # The driver's own cursor: the text is sent as it is, without looking for %-parameters in it.
    cursor = op.get_bind().connection.cursor()
    for part in PARTS:
        cursor.execute(Path(__file__).with_name(f"0001_{part}.sql").read_text(encoding="utf-8"))
    cursor.close()
