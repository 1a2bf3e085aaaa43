-- What each database role may do. The owner owns everything and no process but the migration runs as it.

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO fupan_staff, fupan_worker, fupan_keyholder, fupan_auditor;
GRANT SELECT ON alembic_version TO fupan_staff, fupan_worker, fupan_keyholder, fupan_auditor;

-- Audit: written by the function only.
REVOKE ALL ON FUNCTION audit_append(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION audit_refuse_change() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_append(text) TO fupan_staff, fupan_worker, fupan_auditor;

-- Staff: pages and API.
GRANT SELECT, INSERT, UPDATE ON
    department, account, sign_in_link, position, candidate, attempt, replay_view, outgoing_mail TO fupan_staff;
GRANT SELECT, INSERT, UPDATE, DELETE ON session, question, assignment TO fupan_staff;
GRANT SELECT ON browser_key, consent, intake_record, track, document TO fupan_staff;
GRANT SELECT, INSERT ON recording TO fupan_staff;
GRANT SELECT, INSERT, UPDATE ON analysis TO fupan_staff;

-- Worker: jobs. It reads who someone is, never how they sign in.
GRANT SELECT ON department, position, question, candidate, assignment, replay_view TO fupan_worker;
GRANT SELECT (id, username, display_name, role, department_id, locale, disabled_at, created_at)
    ON account TO fupan_worker;
GRANT SELECT, INSERT, UPDATE ON
    attempt, browser_key, consent, intake_record, recording, analysis, outgoing_mail TO fupan_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON track, document TO fupan_worker;

-- Keyholder: reads what a key demands, writes nothing.
GRANT SELECT ON audit_event, browser_key, recording, attempt, replay_view TO fupan_keyholder;
GRANT SELECT (id, department_id) ON position TO fupan_keyholder;

-- Auditor: the log and nothing else.
GRANT SELECT ON audit_event, audit_head TO fupan_auditor;

-- Queue: staff enqueue and see, the worker runs.
GRANT SELECT, INSERT ON procrastinate_jobs, procrastinate_events TO fupan_staff;
GRANT USAGE ON SEQUENCE procrastinate_jobs_id_seq, procrastinate_events_id_seq TO fupan_staff;
GRANT SELECT, INSERT, UPDATE, DELETE ON
    procrastinate_jobs, procrastinate_events, procrastinate_workers, procrastinate_periodic_defers TO fupan_worker;
GRANT USAGE ON SEQUENCE procrastinate_jobs_id_seq, procrastinate_events_id_seq,
    procrastinate_workers_id_seq, procrastinate_periodic_defers_id_seq TO fupan_worker;
