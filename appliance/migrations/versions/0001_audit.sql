-- The audit log: an append-only table, a head row, and the one function that writes them.

-- Generated columns need an immutable function; an ISO 8601 text that ends in Z reads the same everywhere.
CREATE FUNCTION audit_moment(iso text) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT iso::timestamptz $$;

CREATE TABLE audit_event (
    seq bigint PRIMARY KEY,
    body text NOT NULL,
    hash bytea NOT NULL,
    id uuid NOT NULL UNIQUE GENERATED ALWAYS AS ((body::jsonb #>> '{event,id}')::uuid) STORED,
    at timestamptz NOT NULL GENERATED ALWAYS AS (audit_moment((body::jsonb #>> '{at}'))) STORED,
    by text NOT NULL GENERATED ALWAYS AS ((body::jsonb #>> '{by}')) STORED,
    action text NOT NULL GENERATED ALWAYS AS ((body::jsonb #>> '{event,action}')) STORED,
    outcome text NOT NULL GENERATED ALWAYS AS ((body::jsonb #>> '{event,outcome}')) STORED,
    actor text NOT NULL GENERATED ALWAYS AS ((body::jsonb #>> '{event,actor,id}')) STORED,
    object_type text NOT NULL GENERATED ALWAYS AS ((body::jsonb #>> '{event,object,type}')) STORED,
    object_id text NOT NULL GENERATED ALWAYS AS ((body::jsonb #>> '{event,object,id}')) STORED
);
CREATE INDEX audit_event_object ON audit_event (object_type, object_id, seq);
CREATE INDEX audit_event_actor ON audit_event (actor, seq);
CREATE INDEX audit_event_at ON audit_event (at);

CREATE TABLE audit_head (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    seq bigint NOT NULL,
    hash bytea NOT NULL
);
INSERT INTO audit_head (seq, hash) VALUES (0, decode(repeat('00', 32), 'hex'));

-- `event` is the canonical JSON object that the application states. The function adds what the
-- application must not choose: the moment, the database role that wrote it, the previous hash, the number.
-- Their names sort around "event", so the body is canonical JSON too, and hash = SHA-256(body).
CREATE FUNCTION audit_append(event text, OUT seq bigint, OUT hash bytea)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '2s'
AS $$
DECLARE
    head record;
    body text;
BEGIN
    IF jsonb_typeof(event::jsonb) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'an audit event is a JSON object' USING ERRCODE = 'check_violation';
    END IF;
    SELECT h.seq, h.hash INTO STRICT head FROM public.audit_head h FOR UPDATE;
    seq := head.seq + 1;
    body := '{"at":"' || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
        || '","by":"' || session_user
        || '","event":' || event
        || ',"prev":"' || encode(head.hash, 'hex')
        || '","seq":' || seq || '}';
    hash := sha256(convert_to(body, 'UTF8'));
    INSERT INTO public.audit_event (seq, body, hash) VALUES (seq, body, hash);
    UPDATE public.audit_head SET seq = audit_append.seq, hash = audit_append.hash;
END
$$;

-- The grants already forbid it to every application role; the trigger forbids it to the owner as well.
CREATE FUNCTION audit_refuse_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_head_stays BEFORE DELETE OR TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();

CREATE TABLE replay_view (
    id uuid PRIMARY KEY,
    recording_id uuid NOT NULL REFERENCES recording,
    account_id uuid NOT NULL REFERENCES account,
    event_seq bigint NOT NULL UNIQUE REFERENCES audit_event,
    opened_at timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz NOT NULL,
    closed_at timestamptz,
    watched jsonb NOT NULL DEFAULT '[]'
);
CREATE INDEX ix_replay_view_recording_id ON replay_view (recording_id);
