"""A track may lie in another file than the one it was sealed as: a repaired one."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE track ADD COLUMN file text")
    op.execute("UPDATE track SET file = name")
    op.execute("ALTER TABLE track ALTER COLUMN file SET NOT NULL")
