-- Every table. The comments on columns are in appliance/tables/.

CREATE TABLE department (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name <> '')
);

CREATE TABLE account (
    id uuid PRIMARY KEY,
    username text NOT NULL UNIQUE CHECK (username = lower(username) AND username <> ''),
    display_name text NOT NULL,
    role text NOT NULL CHECK (role IN (
        'recruiter', 'department_head', 'interviewer', 'system_admin', 'security_admin', 'auditor')),
    department_id uuid REFERENCES department,
    password_hash text,
    locale text NOT NULL DEFAULT 'zh',
    failed_sign_ins integer NOT NULL DEFAULT 0,
    locked_until timestamptz,
    disabled_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (role <> 'department_head' OR department_id IS NOT NULL)
);

CREATE TABLE session (
    token_sha256 bytea PRIMARY KEY CHECK (length(token_sha256) = 32),
    id uuid NOT NULL UNIQUE,
    account_id uuid NOT NULL REFERENCES account,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    address text NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE TABLE sign_in_link (
    token_sha256 bytea PRIMARY KEY CHECK (length(token_sha256) = 32),
    account_id uuid NOT NULL REFERENCES account,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);

CREATE TABLE position (
    id uuid PRIMARY KEY,
    department_id uuid NOT NULL REFERENCES department,
    title text NOT NULL CHECK (title <> ''),
    language text NOT NULL,
    policy jsonb NOT NULL,
    competency_model jsonb NOT NULL,
    model_version integer NOT NULL DEFAULT 1,
    created_by uuid REFERENCES account,
    created_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz
);
CREATE INDEX ix_position_department_id ON position (department_id);

CREATE TABLE question (
    id uuid PRIMARY KEY,
    position_id uuid NOT NULL REFERENCES position ON DELETE CASCADE,
    ordinal integer NOT NULL CHECK (ordinal >= 1),
    text text NOT NULL CHECK (text <> ''),
    prep_seconds integer NOT NULL CHECK (prep_seconds >= 0),
    answer_seconds integer NOT NULL CHECK (answer_seconds > 0),
    hint text NOT NULL DEFAULT '',
    competency text NOT NULL DEFAULT '',
    UNIQUE (position_id, ordinal)
);

CREATE TABLE candidate (
    id uuid PRIMARY KEY,
    name text NOT NULL CHECK (name <> ''),
    email text NOT NULL CHECK (email <> ''),
    department_id uuid NOT NULL REFERENCES department,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ix_candidate_department_id ON candidate (department_id);

CREATE TABLE attempt (
    id uuid PRIMARY KEY,
    position_id uuid NOT NULL REFERENCES position,
    candidate_id uuid NOT NULL REFERENCES candidate,
    number integer NOT NULL DEFAULT 1 CHECK (number >= 1),
    state text NOT NULL DEFAULT 'invited'
        CHECK (state IN ('invited', 'checked_in', 'recording', 'finished', 'expired')),
    generation integer NOT NULL DEFAULT 1 CHECK (generation >= 0),
    deadline timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    invited_at timestamptz,
    finished_at timestamptz,
    end_proven boolean NOT NULL DEFAULT false,
    snapshot jsonb NOT NULL DEFAULT '{}',
    UNIQUE (position_id, candidate_id, number)
);
CREATE INDEX ix_attempt_candidate_id ON attempt (candidate_id);
CREATE INDEX attempt_newest ON attempt (created_at, id);
CREATE INDEX attempt_running ON attempt (deadline) WHERE state IN ('checked_in', 'recording');
CREATE INDEX attempt_expired ON attempt (deadline) WHERE state = 'expired';

CREATE TABLE assignment (
    attempt_id uuid REFERENCES attempt,
    account_id uuid REFERENCES account,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (attempt_id, account_id)
);

CREATE TABLE browser_key (
    attempt_id uuid REFERENCES attempt,
    generation integer,
    public_key bytea NOT NULL CHECK (length(public_key) = 65),
    pinned_at timestamptz NOT NULL DEFAULT now(),
    address text NOT NULL DEFAULT '',
    PRIMARY KEY (attempt_id, generation)
);

CREATE TABLE consent (
    id uuid PRIMARY KEY,
    attempt_id uuid NOT NULL REFERENCES attempt,
    purpose text NOT NULL CHECK (purpose IN ('record', 'analysis')),
    granted boolean NOT NULL,
    text_sha256 text NOT NULL CHECK (text_sha256 ~ '^[0-9a-f]{64}$'),
    language text NOT NULL,
    at timestamptz NOT NULL,
    receipt jsonb NOT NULL
);
CREATE INDEX ix_consent_attempt_id ON consent (attempt_id);

CREATE TABLE intake_record (
    attempt_id uuid REFERENCES attempt,
    seq bigint,
    kind text NOT NULL,
    at timestamptz NOT NULL,
    body jsonb NOT NULL,
    PRIMARY KEY (attempt_id, seq)
);

CREATE TABLE recording (
    id uuid PRIMARY KEY REFERENCES attempt,
    state text NOT NULL DEFAULT 'collecting' CHECK (state IN ('collecting', 'sealing', 'sealed', 'failed')),
    day_key_id text,
    department_year_key text,
    sealed_at timestamptz,
    duration_ms bigint,
    bytes bigint,
    problem text,
    gaps jsonb NOT NULL DEFAULT '[]'
);

CREATE TABLE track (
    recording_id uuid REFERENCES recording,
    name text,
    kind text NOT NULL,
    mime text NOT NULL,
    container text NOT NULL,
    duration_ms bigint NOT NULL,
    bytes bigint NOT NULL,
    width integer,
    height integer,
    start_ms bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (recording_id, name)
);

CREATE TABLE document (
    recording_id uuid REFERENCES recording,
    name text,
    version integer DEFAULT 1,
    kind text NOT NULL,
    bytes bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    pack_version text,
    PRIMARY KEY (recording_id, name, version)
);

CREATE TABLE analysis (
    recording_id uuid PRIMARY KEY REFERENCES recording,
    state text NOT NULL DEFAULT 'queued'
        CHECK (state IN ('queued', 'running', 'done', 'failed', 'skipped', 'cancelled')),
    progress integer NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
    stage text,
    pack_version text,
    reason text,
    queued_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    figures jsonb NOT NULL DEFAULT '{}'
);

-- What the desk opens with is little among many that are done.
CREATE INDEX recording_unsealed ON recording (state) WHERE state <> 'sealed';
CREATE INDEX recording_sealed_at ON recording (sealed_at);
CREATE INDEX analysis_unfinished ON analysis (state) WHERE state IN ('queued', 'running', 'failed');

CREATE TABLE outgoing_mail (
    id uuid PRIMARY KEY,
    attempt_id uuid REFERENCES attempt,
    kind text NOT NULL,
    recipient text NOT NULL,
    subject text NOT NULL,
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sent', 'failed')),
    tries integer NOT NULL DEFAULT 0,
    reason text,
    created_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz
);
CREATE INDEX ix_outgoing_mail_attempt_id ON outgoing_mail (attempt_id);
