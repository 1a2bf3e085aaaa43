"""Let the worker close the replays whose page went away, so that the log has them without a next opening."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("GRANT UPDATE (closed_at) ON replay_view TO fupan_worker")
