"""Which day key a browser was bound with, so that it stays as long as what was sealed to it waits."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE browser_key ADD COLUMN day_key_id text")
