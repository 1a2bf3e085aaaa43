"""Let the keyholder see whether an analysis runs, so that its event opens nothing afterwards."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("GRANT SELECT (recording_id, state) ON analysis TO fupan_keyholder")
