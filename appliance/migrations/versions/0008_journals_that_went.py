"""When the journals of a sealed recording were removed from intake."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE recording ADD COLUMN journals_removed_at timestamptz")
    op.execute(
        "CREATE INDEX recording_journals ON recording (sealed_at)"
        " WHERE state = 'sealed' AND journals_removed_at IS NULL"
    )
