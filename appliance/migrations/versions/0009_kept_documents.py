"""Notes about recordings and documents about people: who kept which, when; the words are sealed."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE note (
    id uuid PRIMARY KEY,
    recording_id uuid NOT NULL REFERENCES recording,
    author_id uuid NOT NULL REFERENCES account,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ix_note_recording_id ON note (recording_id);
CREATE TABLE person_document (
    person_id uuid REFERENCES candidate,
    name text,
    version integer CHECK (version >= 1),
    format text NOT NULL,
    bytes bigint NOT NULL,
    author_id uuid NOT NULL REFERENCES account,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (person_id, name, version)
)
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute("GRANT SELECT, INSERT ON note, person_document TO fupan_staff")
    op.execute("GRANT SELECT ON note, person_document TO fupan_worker")
    op.execute("GRANT INSERT ON document TO fupan_staff")
