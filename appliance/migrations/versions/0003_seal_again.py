"""Let staff order a failed seal again, and change nothing else about a recording."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE FUNCTION recording_seal_again(wanted uuid) RETURNS boolean
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
        BEGIN
            UPDATE public.recording SET state = 'sealing', problem = NULL
             WHERE id = wanted AND state = 'failed';
            RETURN FOUND;
        END $$
        """
    )
    op.execute("REVOKE ALL ON FUNCTION recording_seal_again(uuid) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION recording_seal_again(uuid) TO fupan_staff")
