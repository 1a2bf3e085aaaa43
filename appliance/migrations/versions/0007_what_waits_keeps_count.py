"""What waits for the vault has no job of its own, so its row keeps count of the failures before."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("recording", "analysis"):
        op.execute(f"ALTER TABLE {table} ADD COLUMN failures smallint NOT NULL DEFAULT 0")
