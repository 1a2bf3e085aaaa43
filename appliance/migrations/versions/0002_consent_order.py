"""Order consents by the number of intake's record, which no clock can set back."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Its own record, found by the signature that both carry; without one, the last record that came before it.
FILL = """
UPDATE consent SET seq = coalesce(
    (SELECT max(r.seq) FROM intake_record r
      WHERE r.attempt_id = consent.attempt_id AND r.kind IN ('consent', 'consent_withdrawn')
        AND r.at = consent.at AND r.body ->> 'signature' = consent.receipt ->> 'signature'),
    (SELECT max(r.seq) FROM intake_record r WHERE r.attempt_id = consent.attempt_id AND r.at <= consent.at),
    0)
"""


def upgrade() -> None:
    op.execute("ALTER TABLE consent ADD COLUMN seq bigint")
    op.execute(FILL)
    op.execute("ALTER TABLE consent ALTER COLUMN seq SET NOT NULL")
