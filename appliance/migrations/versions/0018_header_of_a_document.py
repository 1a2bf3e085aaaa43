"""A document's row knows which writing of its file it means: an earlier copy under its name is refused."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE document ADD COLUMN header_sha256 bytea")
    op.execute("ALTER TABLE person_document ADD COLUMN header_sha256 bytea")
