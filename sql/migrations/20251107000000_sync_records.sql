-- What syncs keep beside the rows: refused records, waiting and repaired links, fields seen, changes held back.

CREATE TABLE IF NOT EXISTS vantage_quarantine (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    resource text NOT NULL,
    table_name text NOT NULL,
    record_key text NOT NULL,
    code text NOT NULL,
    field text NOT NULL,
    message text NOT NULL,
    record json NOT NULL,
    run_id text NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    times_seen int NOT NULL DEFAULT 1,
    resolved_at timestamptz,
    resolution text
);
CREATE UNIQUE INDEX IF NOT EXISTS vantage_quarantine_open ON vantage_quarantine (resource, table_name, record_key) WHERE resolved_at IS NULL;

CREATE TABLE IF NOT EXISTS vantage_pending_links (
    table_name text NOT NULL,
    row_key text NOT NULL,
    column_name text NOT NULL,
    parent_table text NOT NULL,
    parent_key text NOT NULL,
    resource text NOT NULL,
    reason text NOT NULL,
    run_id text NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (table_name, row_key, column_name)
);
CREATE INDEX IF NOT EXISTS idx_vantage_pending_links_parent ON vantage_pending_links (parent_table, parent_key);

CREATE TABLE IF NOT EXISTS vantage_link_repairs (
    table_name text NOT NULL,
    row_key text NOT NULL,
    column_name text NOT NULL,
    value text NOT NULL,
    repaired_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (table_name, row_key, column_name)
);

CREATE TABLE IF NOT EXISTS vantage_link_conflicts (
    table_name text NOT NULL,
    row_key text NOT NULL,
    column_name text NOT NULL,
    current_value text NOT NULL,
    found_value text NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (table_name, row_key, column_name, current_value, found_value)
);

CREATE TABLE IF NOT EXISTS vantage_field_sightings (
    resource text NOT NULL,
    table_name text NOT NULL,
    field text NOT NULL,
    mapped boolean NOT NULL,
    records bigint NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (resource, table_name, field)
);

CREATE TABLE IF NOT EXISTS vantage_held_back (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    resource text NOT NULL,
    table_name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('clear', 'delete')),
    column_name text NOT NULL,
    records int NOT NULL,
    share numeric NOT NULL,
    run_id text NOT NULL,
    held_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS vantage_change_history (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    table_name text NOT NULL,
    row_key text NOT NULL,
    changed_at timestamptz NOT NULL,
    run_id text NOT NULL,
    operation text NOT NULL,
    old jsonb,
    new jsonb
);
CREATE INDEX IF NOT EXISTS idx_vantage_change_history_row ON vantage_change_history (table_name, row_key, changed_at);

DO $$ BEGIN PERFORM vantage_close_table(t) FROM unnest(ARRAY['vantage_quarantine', 'vantage_pending_links', 'vantage_link_repairs',
    'vantage_link_conflicts', 'vantage_field_sightings', 'vantage_held_back', 'vantage_change_history']) t; END $$;

-- Failures of a resource since its last success, for a view that everyone may read.
CREATE OR REPLACE FUNCTION vantage_failures_in_a_row(p_resource text) RETURNS int
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_catalog, pg_temp AS $$
    SELECT count(*)::int FROM vantage_sync_history h
    WHERE h.resource = p_resource AND h.status IN ('failed', 'cancelled')
      AND h.started_at > coalesce((SELECT max(s.started_at) FROM vantage_sync_history s
                                   WHERE s.resource = p_resource AND s.status = 'success'), '-infinity')
$$;
REVOKE ALL ON FUNCTION vantage_failures_in_a_row(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vantage_failures_in_a_row(text) TO authenticated, service_role;

CREATE OR REPLACE VIEW sync_health AS
SELECT s.resource, s.last_sync_status, s.last_sync_time,
       extract(epoch FROM now() - s.last_sync_time) / 3600 AS hours_since_sync,
       s.duration_ms, s.records_synced, jsonb_array_length(s.errors) AS error_count,
       vantage_failures_in_a_row(s.resource) AS failures_in_a_row,
       array_remove(ARRAY[
           CASE WHEN s.last_sync_status = 'running' AND s.started_at < now() - interval '30 minutes' THEN 'stuck' END,
           CASE WHEN s.last_sync_time < now() - e.expected_every
                  OR (s.last_sync_status = 'never_run' AND s.created_at < now() - e.expected_every) THEN 'stale' END,
           CASE WHEN s.duration_ms > extract(epoch FROM e.slow_after) * 1000 THEN 'slow' END,
           CASE WHEN vantage_failures_in_a_row(s.resource) >= 3 THEN 'failing' END], NULL) AS conditions,
       CASE WHEN s.last_sync_status = 'failed' THEN 'red'
            WHEN s.last_sync_status = 'running' AND s.started_at < now() - interval '30 minutes' THEN 'red'
            WHEN s.last_sync_time < now() - e.expected_every THEN 'yellow'
            WHEN s.last_sync_status = 'never_run' THEN 'yellow'
            ELSE 'green' END AS health_indicator
FROM vantage_sync_state s
CROSS JOIN LATERAL (SELECT coalesce((SELECT x.expected_every FROM vantage_sync_expectation x WHERE x.resource = s.resource), interval '24 hours') AS expected_every,
                           coalesce((SELECT x.slow_after FROM vantage_sync_expectation x WHERE x.resource = s.resource), interval '5 minutes') AS slow_after) e;
REVOKE ALL ON sync_health FROM PUBLIC;
GRANT SELECT ON sync_health TO authenticated, service_role;
