"""What intake holds and what its disk has left, each minute, to tell how long that lasts."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE TABLE disk_sample (at timestamptz PRIMARY KEY,"
        " intake_bytes bigint NOT NULL, free_bytes bigint NOT NULL)"
    )
    op.execute("GRANT SELECT, INSERT, DELETE ON disk_sample TO fupan_worker")
    op.execute("GRANT SELECT ON disk_sample TO fupan_staff")
