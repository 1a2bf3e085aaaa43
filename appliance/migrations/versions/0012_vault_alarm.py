"""Alarms about the vault and its keys, for the pages that administrators see."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE TABLE vault_alarm (id uuid PRIMARY KEY, at timestamptz NOT NULL,"
        " kind text NOT NULL CHECK (kind <> ''), about jsonb NOT NULL)"
    )
    op.execute("CREATE INDEX vault_alarm_at ON vault_alarm (at)")
    op.execute("GRANT SELECT, INSERT ON vault_alarm TO fupan_worker")
    op.execute("GRANT SELECT ON vault_alarm TO fupan_staff")
