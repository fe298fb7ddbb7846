-- The state of each resource's sync: one row a resource, written only through the functions.

CREATE TABLE IF NOT EXISTS vantage_sync_state (
    resource text PRIMARY KEY,
    last_sync_time timestamptz,
    last_sync_status text NOT NULL DEFAULT 'never_run'
        CHECK (last_sync_status IN ('success', 'failed', 'running', 'never_run')),
    records_synced int NOT NULL DEFAULT 0 CHECK (records_synced >= 0),
    records_created int NOT NULL DEFAULT 0 CHECK (records_created >= 0),
    records_updated int NOT NULL DEFAULT 0 CHECK (records_updated >= 0),
    errors jsonb NOT NULL DEFAULT '[]',
    started_at timestamptz,
    completed_at timestamptz,
    duration_ms int CHECK (duration_ms >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT valid_sync_timerange CHECK (completed_at IS NULL OR started_at IS NULL OR completed_at >= started_at),
    CONSTRAINT running_incomplete CHECK (last_sync_status <> 'running' OR completed_at IS NULL),
    CONSTRAINT errors_is_array CHECK (jsonb_typeof(errors) = 'array')
);

COMMENT ON TABLE vantage_sync_state IS 'State of the sync of each resource: one row a resource, the last run only';
COMMENT ON COLUMN vantage_sync_state.resource IS 'The resource that is synced, such as accounts or bubble_invoice';
COMMENT ON COLUMN vantage_sync_state.last_sync_time IS 'Watermark: all that changed in the source before it is in the tables';
COMMENT ON COLUMN vantage_sync_state.last_sync_status IS 'never_run, running, success or failed';
COMMENT ON COLUMN vantage_sync_state.records_synced IS 'Records processed by the last sync';
COMMENT ON COLUMN vantage_sync_state.records_created IS 'Rows created by the last sync';
COMMENT ON COLUMN vantage_sync_state.records_updated IS 'Rows updated by the last sync';
COMMENT ON COLUMN vantage_sync_state.errors IS 'Errors of the last sync: an array of objects with code and message';
COMMENT ON COLUMN vantage_sync_state.started_at IS 'When the current or last sync began';
COMMENT ON COLUMN vantage_sync_state.completed_at IS 'When the last sync ended; null while one runs';
COMMENT ON COLUMN vantage_sync_state.duration_ms IS 'Milliseconds from start to end, calculated';
COMMENT ON COLUMN vantage_sync_state.created_at IS 'When the row was created';
COMMENT ON COLUMN vantage_sync_state.updated_at IS 'When the row last changed, maintained by a trigger';

CREATE INDEX IF NOT EXISTS idx_vantage_sync_status ON vantage_sync_state (last_sync_status) WHERE last_sync_status != 'success';
CREATE INDEX IF NOT EXISTS idx_vantage_sync_last_time ON vantage_sync_state (last_sync_time DESC NULLS LAST);
CREATE INDEX IF NOT EXISTS idx_vantage_sync_duration ON vantage_sync_state (duration_ms DESC) WHERE duration_ms IS NOT NULL;

CREATE OR REPLACE FUNCTION update_vantage_sync_state_updated_at() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_catalog, pg_temp AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION calculate_vantage_sync_duration() RETURNS trigger
LANGUAGE plpgsql SET search_path = public, pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.completed_at IS NOT NULL AND NEW.started_at IS NOT NULL THEN
        NEW.duration_ms := least(2147483647, ceil(extract(epoch FROM NEW.completed_at - NEW.started_at) * 1000))::int;
    END IF;
    RETURN NEW;
END $$;

DROP TRIGGER IF EXISTS trigger_vantage_sync_state_updated_at ON vantage_sync_state;
CREATE TRIGGER trigger_vantage_sync_state_updated_at BEFORE UPDATE ON vantage_sync_state
    FOR EACH ROW EXECUTE FUNCTION update_vantage_sync_state_updated_at();
DROP TRIGGER IF EXISTS trigger_calculate_vantage_sync_duration ON vantage_sync_state;
CREATE TRIGGER trigger_calculate_vantage_sync_duration BEFORE INSERT OR UPDATE ON vantage_sync_state
    FOR EACH ROW EXECUTE FUNCTION calculate_vantage_sync_duration();

ALTER TABLE vantage_sync_state ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON vantage_sync_state FROM PUBLIC, authenticated;
GRANT SELECT ON vantage_sync_state TO authenticated;
GRANT ALL ON vantage_sync_state TO service_role;
DROP POLICY IF EXISTS vantage_sync_state_select_all ON vantage_sync_state;
CREATE POLICY vantage_sync_state_select_all ON vantage_sync_state FOR SELECT TO authenticated USING (true);
DROP POLICY IF EXISTS vantage_sync_state_select_service ON vantage_sync_state;
CREATE POLICY vantage_sync_state_select_service ON vantage_sync_state FOR SELECT TO service_role USING (true);
DROP POLICY IF EXISTS vantage_sync_state_insert_service ON vantage_sync_state;
CREATE POLICY vantage_sync_state_insert_service ON vantage_sync_state FOR INSERT TO service_role WITH CHECK (true);
DROP POLICY IF EXISTS vantage_sync_state_update_service ON vantage_sync_state;
CREATE POLICY vantage_sync_state_update_service ON vantage_sync_state FOR UPDATE TO service_role USING (true) WITH CHECK (true);
DROP POLICY IF EXISTS vantage_sync_state_delete_service ON vantage_sync_state;
CREATE POLICY vantage_sync_state_delete_service ON vantage_sync_state FOR DELETE TO service_role USING (true);

INSERT INTO vantage_sync_state (resource)
VALUES ('accounts'), ('funds'), ('cashflows'), ('commitments'), ('investors'), ('investments'), ('valuations')
ON CONFLICT DO NOTHING;

-- The run whose facts a call tells, from the session setting vantage_pipeline.run; an empty object by hand.
CREATE OR REPLACE FUNCTION vantage_run_said() RETURNS jsonb
LANGUAGE sql STABLE SET search_path = public, pg_catalog, pg_temp AS $$
    SELECT coalesce(nullif(current_setting('vantage_pipeline.run', true), '')::jsonb, '{}')
$$;

-- One row a run and resource, by month.
CREATE SEQUENCE IF NOT EXISTS vantage_sync_history_id_seq;
CREATE TABLE IF NOT EXISTS vantage_sync_history (
    id bigint NOT NULL DEFAULT nextval('vantage_sync_history_id_seq'),
    run_id text NOT NULL,
    resource text NOT NULL,
    partition_key text NOT NULL DEFAULT '',
    status text NOT NULL CHECK (status IN ('running', 'success', 'failed', 'cancelled')),
    started_at timestamptz NOT NULL,
    completed_at timestamptz,
    duration_ms bigint,
    records_synced int NOT NULL DEFAULT 0,
    records_created int NOT NULL DEFAULT 0,
    records_updated int NOT NULL DEFAULT 0,
    records_unchanged int NOT NULL DEFAULT 0,
    records_quarantined int NOT NULL DEFAULT 0,
    records_deleted int NOT NULL DEFAULT 0,
    records_cleared_held int NOT NULL DEFAULT 0,
    api_calls int NOT NULL DEFAULT 0,
    watermark_before timestamptz,
    watermark_after timestamptz,
    checkpoint jsonb,
    errors jsonb NOT NULL DEFAULT '[]',
    options jsonb NOT NULL DEFAULT '{}',
    triggered_by text NOT NULL DEFAULT '',
    PRIMARY KEY (id, started_at)
) PARTITION BY RANGE (started_at);
CREATE TABLE IF NOT EXISTS vantage_sync_history_default PARTITION OF vantage_sync_history DEFAULT;
CREATE INDEX IF NOT EXISTS idx_vantage_sync_history_run ON vantage_sync_history (run_id, resource);
CREATE INDEX IF NOT EXISTS idx_vantage_sync_history_resource ON vantage_sync_history (resource, started_at DESC);
DO $$ BEGIN PERFORM vantage_close_table('vantage_sync_history'); END $$;
DO $$ BEGIN PERFORM vantage_close_table('vantage_sync_history_default'); END $$;
REVOKE ALL ON SEQUENCE vantage_sync_history_id_seq FROM PUBLIC;
GRANT USAGE ON SEQUENCE vantage_sync_history_id_seq TO service_role;

CREATE OR REPLACE FUNCTION vantage_history_partition(p_at timestamptz) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_catalog, pg_temp AS $$
DECLARE
    first timestamptz := date_trunc('month', p_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
    named text := 'vantage_sync_history_' || to_char(p_at AT TIME ZONE 'UTC', 'YYYYMM');
BEGIN
    IF to_regclass(named) IS NOT NULL THEN RETURN; END IF;
    PERFORM pg_advisory_xact_lock(hashtext('vantage_history_partition'));
    IF to_regclass(named) IS NOT NULL THEN RETURN; END IF;
    EXECUTE format('CREATE TABLE %I PARTITION OF vantage_sync_history FOR VALUES FROM (%L) TO (%L)',
                   named, first, first + interval '1 month');
    PERFORM vantage_close_table(named);
EXCEPTION WHEN check_violation THEN
    NULL; -- the default partition holds rows of this month already, and goes on holding them
END $$;

-- Closes a run's history row, unless it is closed. The state row follows only if no newer run has begun.
CREATE OR REPLACE FUNCTION vantage_close_run(
    p_resource text, p_status text, p_synced int, p_created int, p_updated int, p_errors jsonb, p_watermark timestamptz
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_catalog, pg_temp AS $$
DECLARE
    said jsonb := vantage_run_said();
    state vantage_sync_state;
    told vantage_sync_history;
    ended timestamptz := clock_timestamp();
    newest bigint;
BEGIN
    INSERT INTO vantage_sync_state (resource) VALUES (p_resource) ON CONFLICT DO NOTHING;
    SELECT * INTO state FROM vantage_sync_state WHERE resource = p_resource FOR UPDATE;
    SELECT * INTO told FROM vantage_sync_history h
    WHERE h.resource = p_resource
      AND CASE WHEN said ? 'run_id'
               THEN h.run_id = said->>'run_id' AND h.partition_key = coalesce(said->>'partition_key', '')
               ELSE h.status = 'running' END
    ORDER BY h.started_at DESC, h.id DESC LIMIT 1;
    IF told.id IS NULL THEN
        IF p_status = 'success' THEN
            RAISE EXCEPTION 'no sync of % is running, so none can be completed; call start_vantage_sync first', p_resource;
        END IF;
        PERFORM start_vantage_sync(p_resource);
        PERFORM vantage_close_run(p_resource, p_status, p_synced, p_created, p_updated, p_errors, p_watermark);
        RETURN;
    END IF;
    IF told.status <> 'running' THEN RETURN; END IF;
    SELECT h.id INTO newest FROM vantage_sync_history h WHERE h.resource = p_resource ORDER BY h.started_at DESC, h.id DESC LIMIT 1;
    IF newest = told.id AND state.last_sync_status = 'running' THEN
        UPDATE vantage_sync_state SET
            last_sync_status = CASE WHEN p_status = 'success' THEN 'success' ELSE 'failed' END,
            last_sync_time = CASE WHEN p_status = 'success' THEN greatest(last_sync_time, p_watermark) ELSE last_sync_time END,
            records_synced = p_synced, records_created = p_created, records_updated = p_updated,
            errors = p_errors, completed_at = greatest(ended, started_at)
        WHERE resource = p_resource RETURNING * INTO state;
    END IF;
    UPDATE vantage_sync_history SET
        status = CASE WHEN p_status = 'failed' AND said->>'status' = 'cancelled' THEN 'cancelled' ELSE p_status END,
        completed_at = greatest(ended, started_at),
        duration_ms = ceil(extract(epoch FROM greatest(ended, started_at) - started_at) * 1000),
        records_synced = p_synced, records_created = p_created, records_updated = p_updated,
        records_unchanged = coalesce((said->>'records_unchanged')::int, records_unchanged),
        records_quarantined = coalesce((said->>'records_quarantined')::int, records_quarantined),
        records_deleted = coalesce((said->>'records_deleted')::int, records_deleted),
        records_cleared_held = coalesce((said->>'records_cleared_held')::int, records_cleared_held),
        api_calls = coalesce((said->>'api_calls')::int, api_calls),
        watermark_after = state.last_sync_time,
        errors = p_errors
    WHERE id = told.id AND started_at = told.started_at;
END $$;

-- Marks a sync as running. A run that says it twice changes nothing; an older run that never ended is closed.
CREATE OR REPLACE FUNCTION start_vantage_sync(p_resource text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_catalog, pg_temp AS $$
DECLARE
    said jsonb := vantage_run_said();
    run text := coalesce(said->>'run_id', 'manual-' || gen_random_uuid());
    part text := coalesce(said->>'partition_key', '');
    state vantage_sync_state;
BEGIN
    INSERT INTO vantage_sync_state (resource) VALUES (p_resource) ON CONFLICT DO NOTHING;
    SELECT * INTO state FROM vantage_sync_state WHERE resource = p_resource FOR UPDATE;
    IF EXISTS (SELECT 1 FROM vantage_sync_history h WHERE h.resource = p_resource AND h.run_id = run AND h.partition_key = part) THEN
        RETURN;
    END IF;
    UPDATE vantage_sync_history SET status = 'failed', completed_at = clock_timestamp(),
        duration_ms = ceil(extract(epoch FROM clock_timestamp() - started_at) * 1000),
        errors = '[{"code": "INTERRUPTED", "message": "the run ended without a word; a newer one took its place"}]'
    WHERE resource = p_resource AND status = 'running';
    IF state.last_sync_status = 'running' THEN
        UPDATE vantage_sync_state SET last_sync_status = 'failed', completed_at = greatest(clock_timestamp(), started_at)
        WHERE resource = p_resource;
    END IF;
    UPDATE vantage_sync_state SET last_sync_status = 'running', started_at = now(), completed_at = NULL, duration_ms = NULL
    WHERE resource = p_resource;
    PERFORM vantage_history_partition(now());
    INSERT INTO vantage_sync_history (run_id, resource, partition_key, status, started_at, watermark_before, options, triggered_by)
    VALUES (run, p_resource, part, 'running', now(), state.last_sync_time, coalesce(said->'options', '{}'),
            coalesce(said->>'triggered_by', 'by hand: ' || session_user));
END $$;

-- Marks a sync as done. The watermark never moves back; an explicit NULL leaves it as it is.
CREATE OR REPLACE FUNCTION complete_vantage_sync(
    p_resource text, p_records_synced int, p_records_created int, p_records_updated int, p_watermark timestamptz DEFAULT now()
) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_catalog, pg_temp AS $$
    SELECT vantage_close_run(p_resource, 'success', p_records_synced, p_records_created, p_records_updated,
                             coalesce(vantage_run_said()->'errors', '[]'), p_watermark)
$$;

-- Marks a sync as failed. The watermark stays where it is.
CREATE OR REPLACE FUNCTION fail_vantage_sync(p_resource text, p_errors jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_catalog, pg_temp AS $$
    SELECT vantage_close_run(p_resource, 'failed', coalesce((vantage_run_said()->>'records_synced')::int, 0),
                             coalesce((vantage_run_said()->>'records_created')::int, 0),
                             coalesce((vantage_run_said()->>'records_updated')::int, 0), p_errors, NULL)
$$;

-- Counts and position of a running sync, for whoever watches.
CREATE OR REPLACE FUNCTION checkpoint_vantage_sync(p_resource text, p_details jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_catalog, pg_temp AS $$
    UPDATE vantage_sync_history SET
        records_synced = coalesce((p_details->>'records_synced')::int, records_synced),
        records_created = coalesce((p_details->>'records_created')::int, records_created),
        records_updated = coalesce((p_details->>'records_updated')::int, records_updated),
        records_unchanged = coalesce((p_details->>'records_unchanged')::int, records_unchanged),
        records_quarantined = coalesce((p_details->>'records_quarantined')::int, records_quarantined),
        api_calls = coalesce((p_details->>'api_calls')::int, api_calls),
        checkpoint = coalesce(p_details->'checkpoint', checkpoint)
    WHERE resource = p_resource AND status = 'running' AND run_id = vantage_run_said()->>'run_id'
$$;

REVOKE ALL ON FUNCTION start_vantage_sync(text), complete_vantage_sync(text, int, int, int, timestamptz),
    fail_vantage_sync(text, jsonb), checkpoint_vantage_sync(text, jsonb), vantage_history_partition(timestamptz),
    vantage_close_run(text, text, int, int, int, jsonb, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION start_vantage_sync(text), complete_vantage_sync(text, int, int, int, timestamptz),
    fail_vantage_sync(text, jsonb), checkpoint_vantage_sync(text, jsonb) TO service_role;

CREATE TABLE IF NOT EXISTS vantage_sync_expectation (
    resource text PRIMARY KEY,
    expected_every interval NOT NULL DEFAULT '24 hours',
    slow_after interval NOT NULL DEFAULT '5 minutes'
);
COMMENT ON TABLE vantage_sync_expectation IS 'How often each resource is expected to sync, and how long that may take';
ALTER TABLE vantage_sync_expectation ENABLE ROW LEVEL SECURITY;
REVOKE ALL ON vantage_sync_expectation FROM PUBLIC;
GRANT SELECT ON vantage_sync_expectation TO authenticated;
GRANT ALL ON vantage_sync_expectation TO service_role;
DROP POLICY IF EXISTS vantage_sync_expectation_read ON vantage_sync_expectation;
CREATE POLICY vantage_sync_expectation_read ON vantage_sync_expectation FOR SELECT TO authenticated USING (true);
DROP POLICY IF EXISTS vantage_sync_expectation_service ON vantage_sync_expectation;
CREATE POLICY vantage_sync_expectation_service ON vantage_sync_expectation TO service_role USING (true) WITH CHECK (true);
INSERT INTO vantage_sync_expectation (resource) SELECT resource FROM vantage_sync_state ON CONFLICT DO NOTHING;
