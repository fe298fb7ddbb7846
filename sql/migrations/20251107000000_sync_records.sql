-- What syncs keep beside the rows: refused records, waiting and repaired links, fields seen, changes held back, alerts;
-- and the health of each resource, which everyone may see.

DO $$
BEGIN
    PERFORM vantage_plan_table(t, '20251107000000_sync_records') FROM unnest(ARRAY[
        'vantage_quarantine', 'vantage_pending_links', 'vantage_link_repairs', 'vantage_link_conflicts',
        'vantage_field_sightings', 'vantage_held_back', 'vantage_change_history', 'vantage_alerts', 'vantage_sync_expectation']) t;
END $$;

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
    held_at timestamptz NOT NULL DEFAULT now(),
    released_at timestamptz
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

CREATE TABLE IF NOT EXISTS vantage_alerts (
    condition text NOT NULL,
    resource text NOT NULL,
    began_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    details jsonb,
    notified_at timestamptz,
    PRIMARY KEY (condition, resource, began_at)
);

CREATE TABLE IF NOT EXISTS vantage_sync_expectation (
    resource text PRIMARY KEY,
    expected_every interval NOT NULL DEFAULT '24 hours',
    slow_after interval NOT NULL DEFAULT '5 minutes',
    updated_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE vantage_quarantine IS 'Records that could not become rows, whole, with the reason';
COMMENT ON TABLE vantage_pending_links IS 'Links to records that are not there (yet)';
COMMENT ON TABLE vantage_link_repairs IS 'Values that the repairs filled in where the source gave none';
COMMENT ON TABLE vantage_link_conflicts IS 'Links about which two records of the source disagree';
COMMENT ON TABLE vantage_field_sightings IS 'Which fields the source sent, with or without a column';
COMMENT ON TABLE vantage_held_back IS 'Clearings and deletions that were too large at once';
COMMENT ON TABLE vantage_change_history IS 'Old and new values of changed rows, where that is switched on';
COMMENT ON TABLE vantage_alerts IS 'When a condition began and ended, and when people were told';
COMMENT ON TABLE vantage_sync_expectation IS 'How often each resource is expected to sync, and how long that may take';

DO $$
BEGIN
    PERFORM vantage_close_table(t) FROM unnest(ARRAY[
        'vantage_quarantine', 'vantage_pending_links', 'vantage_link_repairs', 'vantage_link_conflicts',
        'vantage_field_sightings', 'vantage_held_back', 'vantage_change_history', 'vantage_alerts', 'vantage_sync_expectation']) t;
END $$;

GRANT SELECT ON vantage_sync_expectation TO authenticated;
DROP POLICY IF EXISTS vantage_sync_expectation_read ON vantage_sync_expectation;
CREATE POLICY vantage_sync_expectation_read ON vantage_sync_expectation FOR SELECT TO authenticated USING (true);
INSERT INTO vantage_sync_expectation (resource) SELECT resource FROM vantage_sync_state ON CONFLICT DO NOTHING;

-- Failures of a resource since its last success; a number, for a view that everyone may read. What a person cancelled
-- is no failure.
CREATE OR REPLACE FUNCTION vantage_consecutive_failures(p_resource text) RETURNS int
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT count(*)::int FROM vantage_sync_history h
    WHERE h.resource = p_resource AND h.status = 'failed'
      AND h.started_at > coalesce((SELECT max(s.started_at) FROM vantage_sync_history s
                                   WHERE s.resource = p_resource AND s.status = 'success'), '-infinity')
$$;

-- What a sync of the resource usually takes, in milliseconds: the median of the 20 successes before the last, if there
-- are five.
CREATE OR REPLACE FUNCTION vantage_usual_duration(p_resource text) RETURNS double precision
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT CASE WHEN count(*) >= 5 THEN percentile_cont(0.5) WITHIN GROUP (ORDER BY before.duration_ms) END
    FROM (SELECT h.duration_ms FROM vantage_sync_history h WHERE h.resource = p_resource AND h.status = 'success'
          ORDER BY h.started_at DESC OFFSET 1 LIMIT 20) before
$$;

DO $$
BEGIN
    PERFORM vantage_note('function', f, '20251107000000_sync_records')
    FROM unnest(ARRAY['vantage_consecutive_failures(text)', 'vantage_usual_duration(text)']) f;
    PERFORM vantage_close('FUNCTION ' || f)
    FROM unnest(ARRAY['vantage_consecutive_failures(text)', 'vantage_usual_duration(text)']) f;
END $$;
GRANT EXECUTE ON FUNCTION vantage_consecutive_failures(text), vantage_usual_duration(text) TO authenticated, service_role;

CREATE OR REPLACE VIEW sync_health AS
SELECT s.resource, s.last_sync_status, s.last_sync_time,
       extract(epoch FROM now() - s.last_sync_time) / 3600 AS hours_since_sync,
       s.duration_ms, s.records_synced, jsonb_array_length(s.errors) AS error_count,
       f.consecutive_failures,
       array_remove(ARRAY[
           CASE WHEN c.stuck THEN 'stuck' END,
           CASE WHEN c.stale OR (s.last_sync_status = 'never_run' AND s.created_at < now() - e.expected_every) THEN 'stale' END,
           CASE WHEN s.duration_ms > extract(epoch FROM e.slow_after) * 1000 THEN 'slow' END,
           -- twice the usual, and by five seconds at least: a second instead of half of one worries nobody
           CASE WHEN s.last_sync_status = 'success' AND s.duration_ms > greatest(2 * f.usual_ms, f.usual_ms + 5000)
                THEN 'slower_than_usual' END,
           CASE WHEN f.consecutive_failures >= 3 THEN 'failing_repeatedly' END,
           CASE WHEN s.last_sync_status = 'failed' THEN 'failed' END,
           CASE WHEN s.last_sync_status = 'never_run' THEN 'never_run' END], NULL) AS conditions,
       CASE WHEN s.last_sync_status = 'failed' OR c.stuck THEN 'red'
            WHEN c.stale OR s.last_sync_status = 'never_run' THEN 'yellow'
            ELSE 'green' END AS health_indicator
FROM vantage_sync_state s
LEFT JOIN vantage_sync_expectation x ON x.resource = s.resource
CROSS JOIN LATERAL (SELECT coalesce(x.expected_every, interval '24 hours') AS expected_every,
                           coalesce(x.slow_after, interval '5 minutes') AS slow_after) e
CROSS JOIN LATERAL (SELECT s.last_sync_status = 'running' AND s.started_at < now() - interval '30 minutes' AS stuck,
                           s.last_sync_time < now() - e.expected_every AS stale) c
CROSS JOIN LATERAL (SELECT vantage_consecutive_failures(s.resource) AS consecutive_failures,
                           vantage_usual_duration(s.resource) AS usual_ms) f;
COMMENT ON VIEW sync_health IS 'Red, yellow or green for each resource, and why';
DO $$
BEGIN
    IF current_setting('server_version_num')::int >= 150000 THEN
        ALTER VIEW sync_health SET (security_invoker = true);
    END IF;
    PERFORM vantage_close('TABLE sync_health');
END $$;
GRANT SELECT ON sync_health TO authenticated, service_role;
