"""The latest deadline that an attempt was ever given: a packet with it may still lie at intake.

Kept by the database itself, whoever changes a deadline.
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

FUNCTION = """
CREATE FUNCTION attempt_keep_latest_deadline() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.latest_deadline := NEW.deadline;
    IF TG_OP = 'UPDATE' THEN
        NEW.latest_deadline := greatest(NEW.deadline, OLD.latest_deadline);
    END IF;
    RETURN NEW;
END
$$
"""


def upgrade() -> None:
    op.execute("ALTER TABLE attempt ADD COLUMN latest_deadline timestamptz")
    op.execute("UPDATE attempt SET latest_deadline = deadline")
    op.execute("ALTER TABLE attempt ALTER COLUMN latest_deadline SET NOT NULL")
    op.execute(FUNCTION)
    op.execute(
        "CREATE TRIGGER attempt_latest_deadline BEFORE INSERT OR UPDATE ON attempt"
        " FOR EACH ROW EXECUTE FUNCTION attempt_keep_latest_deadline()"
    )
