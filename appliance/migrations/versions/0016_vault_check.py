"""When each part of the vault was last read whole, and the digests by which tracks are known without keys."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE TABLE checked_part (part smallint PRIMARY KEY, ended_at timestamptz NOT NULL,"
        " files integer NOT NULL, by_tags integer NOT NULL, by_digest integer NOT NULL,"
        " damaged integer NOT NULL)"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE ON checked_part TO fupan_worker")
    op.execute("GRANT SELECT ON checked_part TO fupan_staff")
    op.execute("ALTER TABLE track ADD COLUMN sha256 bytea")
