"""Erasures: marks, legal holds, and what the worker may take away once a key is destroyed."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE erasure (
    id uuid PRIMARY KEY,
    person_id uuid NOT NULL REFERENCES candidate,
    whole boolean NOT NULL,
    recordings uuid[] NOT NULL,
    basis text NOT NULL
        CHECK (basis IN ('request', 'consent_withdrawn', 'retention_ended', 'recorded_in_error')),
    case_ref text NOT NULL DEFAULT '' CHECK (case_ref ~ '^[A-Za-z0-9./_-]{0,40}$'),
    state text NOT NULL DEFAULT 'marked' CHECK (state IN ('marked', 'erasing', 'withdrawn', 'erased')),
    marked_by uuid NOT NULL REFERENCES account,
    marked_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL,
    withdrawn_by uuid REFERENCES account,
    withdrawn_at timestamptz,
    erased_at timestamptz,
    ledger_seq bigint,
    certificate jsonb
);
CREATE INDEX erasure_person ON erasure (person_id);
CREATE INDEX erasure_marked ON erasure (due_at) WHERE state IN ('marked', 'erasing');
CREATE TABLE legal_hold (
    id uuid PRIMARY KEY,
    person_id uuid REFERENCES candidate,
    recording_id uuid REFERENCES attempt,
    reason text NOT NULL CHECK (reason IN ('dispute', 'investigation', 'authority')),
    case_ref text NOT NULL DEFAULT '' CHECK (case_ref ~ '^[A-Za-z0-9./_-]{0,40}$'),
    set_by uuid NOT NULL REFERENCES account,
    set_at timestamptz NOT NULL DEFAULT now(),
    lifted_by uuid REFERENCES account,
    lifted_at timestamptz,
    CHECK (num_nonnulls(person_id, recording_id) = 1)
);
CREATE INDEX legal_hold_person ON legal_hold (person_id);
CREATE INDEX legal_hold_recording ON legal_hold (recording_id);
CREATE INDEX audit_event_erase ON audit_event (seq) WHERE action LIKE 'erase:%';
ALTER TABLE candidate ADD COLUMN erased_at timestamptz;
ALTER TABLE recording DROP CONSTRAINT recording_state_check;
ALTER TABLE recording ADD CONSTRAINT recording_state_check
    CHECK (state IN ('collecting', 'sealing', 'sealed', 'failed', 'erased'));
"""
GRANTS = """
GRANT SELECT, INSERT ON erasure, legal_hold TO fupan_staff;
GRANT UPDATE (state, withdrawn_by, withdrawn_at) ON erasure TO fupan_staff;
GRANT UPDATE (lifted_by, lifted_at) ON legal_hold TO fupan_staff;
GRANT SELECT ON erasure, legal_hold TO fupan_keyholder, fupan_worker;
GRANT UPDATE (state, erased_at, ledger_seq, certificate) ON erasure TO fupan_worker;
GRANT UPDATE (name, email, erased_at) ON candidate TO fupan_worker;
GRANT DELETE ON note, person_document, browser_key, intake_record, analysis, assignment TO fupan_worker;
GRANT UPDATE (lease_until) ON replay_view TO fupan_worker;
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(GRANTS)
