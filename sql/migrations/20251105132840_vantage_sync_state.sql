-- The state of each resource's sync: one row a resource, written only through the functions. Where the table is there
-- already, it gains what it lacks and keeps its rows.

DO $$
BEGIN
    PERFORM vantage_plan_table('vantage_sync_state', '20251105132840_vantage_sync_state');
END $$;
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

-- Functions of these names from an earlier version: kept for a rollback, and out of the way, since one with four
-- arguments would win over ours with a fifth that may be left out.
DO $$
DECLARE earlier record;
BEGIN
    FOR earlier IN SELECT p.oid, p.oid::regprocedure::text AS named, p.prorettype = 'trigger'::regtype AS is_trigger FROM pg_proc p
                   WHERE p.pronamespace = 'public'::regnamespace
                     AND p.proname IN ('start_vantage_sync', 'complete_vantage_sync', 'fail_vantage_sync',
                                       'update_vantage_sync_state_updated_at', 'calculate_vantage_sync_duration')
                     AND NOT EXISTS (SELECT 1 FROM vantage_schema_objects o
                                     WHERE o.kind = 'function' AND o.name::regprocedure = p.oid) LOOP
        PERFORM vantage_note('replaced function', earlier.named, '20251105132840_vantage_sync_state', pg_get_functiondef(earlier.oid));
        IF NOT earlier.is_trigger THEN
            EXECUTE 'DROP FUNCTION ' || earlier.named;
        END IF;
    END LOOP;
END $$;

CREATE OR REPLACE FUNCTION update_vantage_sync_state_updated_at() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$;

-- Rounded up, so that a sync that took any time at all did not take none.
CREATE OR REPLACE FUNCTION calculate_vantage_sync_duration() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF NEW.completed_at IS NOT NULL AND NEW.started_at IS NOT NULL THEN
        NEW.duration_ms := least(2147483647, ceil(extract(epoch FROM NEW.completed_at - NEW.started_at) * 1000))::int;
    END IF;
    RETURN NEW;
END $$;

-- What an existing table may lack: constraints, triggers, policies. Rows that break a constraint do not stop it.
DO $$
DECLARE
    lacking text[];
    m CONSTANT text := '20251105132840_vantage_sync_state';
BEGIN
    FOREACH lacking SLICE 1 IN ARRAY ARRAY[
        ['vantage_sync_state_last_sync_status_check', $c$last_sync_status IN ('success', 'failed', 'running', 'never_run')$c$],
        ['vantage_sync_state_records_synced_check', 'records_synced >= 0'],
        ['vantage_sync_state_records_created_check', 'records_created >= 0'],
        ['vantage_sync_state_records_updated_check', 'records_updated >= 0'],
        ['vantage_sync_state_duration_ms_check', 'duration_ms >= 0'],
        ['valid_sync_timerange', 'completed_at IS NULL OR started_at IS NULL OR completed_at >= started_at'],
        ['running_incomplete', $c$last_sync_status <> 'running' OR completed_at IS NULL$c$],
        ['errors_is_array', $c$jsonb_typeof(errors) = 'array'$c$]]
    LOOP
        CONTINUE WHEN EXISTS (SELECT 1 FROM pg_constraint
                              WHERE conrelid = 'public.vantage_sync_state'::regclass AND conname = lacking[1]);
        EXECUTE format('ALTER TABLE vantage_sync_state ADD CONSTRAINT %I CHECK (%s) NOT VALID', lacking[1], lacking[2]);
        PERFORM vantage_note('constraint', 'vantage_sync_state.' || lacking[1], m);
    END LOOP;

    FOREACH lacking SLICE 1 IN ARRAY ARRAY[
        ['trigger_vantage_sync_state_updated_at', 'UPDATE', 'update_vantage_sync_state_updated_at'],
        ['trigger_calculate_vantage_sync_duration', 'INSERT OR UPDATE', 'calculate_vantage_sync_duration']]
    LOOP
        CONTINUE WHEN EXISTS (SELECT 1 FROM pg_trigger
                              WHERE tgrelid = 'public.vantage_sync_state'::regclass AND tgname = lacking[1]);
        EXECUTE format('CREATE TRIGGER %I BEFORE %s ON vantage_sync_state FOR EACH ROW EXECUTE FUNCTION %I()',
                       lacking[1], lacking[2], lacking[3]);
        PERFORM vantage_note('trigger', 'vantage_sync_state.' || lacking[1], m);
    END LOOP;

    FOREACH lacking SLICE 1 IN ARRAY ARRAY[
        ['vantage_sync_state_select_all', 'SELECT TO authenticated USING (true)'],
        ['vantage_sync_state_select_service', 'SELECT TO service_role USING (true)'],
        ['vantage_sync_state_insert_service', 'INSERT TO service_role WITH CHECK (true)'],
        ['vantage_sync_state_update_service', 'UPDATE TO service_role USING (true) WITH CHECK (true)'],
        ['vantage_sync_state_delete_service', 'DELETE TO service_role USING (true)']]
    LOOP
        CONTINUE WHEN EXISTS (SELECT 1 FROM pg_policies
                              WHERE schemaname = 'public' AND tablename = 'vantage_sync_state' AND policyname = lacking[1]);
        EXECUTE format('CREATE POLICY %I ON vantage_sync_state FOR %s', lacking[1], lacking[2]);
        PERFORM vantage_note('policy', 'vantage_sync_state.' || lacking[1], m);
    END LOOP;

    FOREACH lacking SLICE 1 IN ARRAY ARRAY[
        ['idx_vantage_sync_status', $c$(last_sync_status) WHERE last_sync_status != 'success'$c$],
        ['idx_vantage_sync_last_time', '(last_sync_time DESC NULLS LAST)'],
        ['idx_vantage_sync_duration', '(duration_ms DESC) WHERE duration_ms IS NOT NULL']]
    LOOP
        CONTINUE WHEN to_regclass('public.' || lacking[1]) IS NOT NULL;
        EXECUTE format('CREATE INDEX %I ON vantage_sync_state %s', lacking[1], lacking[2]);
        PERFORM vantage_note('index', lacking[1], m);
    END LOOP;

    IF vantage_made_table('vantage_sync_state') THEN
        PERFORM vantage_close('TABLE vantage_sync_state');
    END IF;
END $$;

ALTER TABLE vantage_sync_state ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON vantage_sync_state TO authenticated;
GRANT ALL ON vantage_sync_state TO service_role;

INSERT INTO vantage_sync_state (resource)
VALUES ('accounts'), ('funds'), ('cashflows'), ('commitments'), ('investors'), ('investments'), ('valuations')
ON CONFLICT DO NOTHING;

-- What the caller says of its run, from the setting vantage_pipeline.run; an empty object for a person at a terminal.
CREATE OR REPLACE FUNCTION vantage_run_said() RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT coalesce(nullif(current_setting('vantage_pipeline.run', true), '')::jsonb, '{}')
$$;

-- The resource's state row, made where it is missing and locked until the end of the transaction.
CREATE OR REPLACE FUNCTION vantage_lock_state(p_resource text) RETURNS vantage_sync_state
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE state vantage_sync_state;
BEGIN
    INSERT INTO vantage_sync_state (resource) VALUES (p_resource) ON CONFLICT DO NOTHING;
    SELECT * INTO STRICT state FROM vantage_sync_state WHERE resource = p_resource FOR UPDATE;
    RETURN state;
END $$;

CREATE OR REPLACE FUNCTION vantage_interrupted() RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT '[{"code": "INTERRUPTED", "message": "the run ended without a word; a newer one took its place", "provisional": true}]'::jsonb
$$;

-- Adds a run to the history; gives the row's id. A run that does not own the state is written down as interrupted,
-- until its own word comes.
CREATE OR REPLACE FUNCTION vantage_add_history(p_state vantage_sync_state, p_run text, p_owns boolean) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    said jsonb := vantage_run_said();
    began timestamptz := least(coalesce((said->>'started_at')::timestamptz, now()), now());
    made bigint;
BEGIN
    PERFORM vantage_history_partition(began);
    PERFORM vantage_history_partition(began + interval '1 month');
    INSERT INTO vantage_sync_history (run_id, resource, partition_key, status, started_at, completed_at, errors,
                                      watermark_before, options, triggered_by)
    VALUES (p_run, p_state.resource, coalesce(said->>'partition_key', ''),
            CASE WHEN p_owns THEN 'running' ELSE 'failed' END, began, CASE WHEN p_owns THEN NULL ELSE now() END,
            CASE WHEN p_owns THEN '[]' ELSE vantage_interrupted() END,
            coalesce((said->>'watermark_before')::timestamptz, p_state.last_sync_time), coalesce(said->'options', '{}'),
            coalesce(said->>'triggered_by', 'by hand: ' || session_user))
    RETURNING id INTO made;
    RETURN made;
END $$;

-- Whether a run that says when it began is older than one that has begun since.
CREATE OR REPLACE FUNCTION vantage_is_late(p_resource text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT EXISTS (SELECT 1 FROM vantage_sync_history h
                   WHERE h.resource = p_resource AND h.started_at > (vantage_run_said()->>'started_at')::timestamptz)
$$;

-- Marks a sync as running. A run that says it twice changes nothing. An older run that never ended is closed, but only
-- until it speaks: it may be alive still, and what it then says is the truth about it.
CREATE OR REPLACE FUNCTION start_vantage_sync(p_resource text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    said jsonb := vantage_run_said();
    run text := coalesce(said->>'run_id', 'manual-' || gen_random_uuid());
    state vantage_sync_state := vantage_lock_state(p_resource);
BEGIN
    IF EXISTS (SELECT 1 FROM vantage_sync_history h WHERE h.resource = p_resource AND h.run_id = run
               AND h.partition_key = coalesce(said->>'partition_key', '')) THEN
        RETURN;
    END IF;
    IF vantage_is_late(p_resource) THEN
        PERFORM vantage_add_history(state, run, false);
        RETURN;
    END IF;
    UPDATE vantage_sync_history SET status = 'failed', completed_at = greatest(clock_timestamp(), started_at),
        duration_ms = ceil(extract(epoch FROM greatest(clock_timestamp(), started_at) - started_at) * 1000),
        errors = vantage_interrupted()
    WHERE resource = p_resource AND status = 'running';
    IF state.last_sync_status = 'running' THEN
        UPDATE vantage_sync_state SET last_sync_status = 'failed', errors = vantage_interrupted() #- '{0,provisional}',
            completed_at = greatest(clock_timestamp(), started_at)
        WHERE resource = p_resource;
    END IF;
    UPDATE vantage_sync_state SET last_sync_status = 'running', completed_at = NULL, duration_ms = NULL,
        started_at = least(coalesce((said->>'started_at')::timestamptz, now()), now())
    WHERE resource = p_resource;
    PERFORM vantage_add_history(state, run, true);
END $$;

-- The history row that a call is about: the run's own, or the one that runs where no run is named.
CREATE OR REPLACE FUNCTION vantage_told_run(p_resource text) RETURNS SETOF vantage_sync_history
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT h.* FROM vantage_sync_history h, vantage_run_said() said
    WHERE h.resource = p_resource
      AND CASE WHEN said ? 'run_id'
               THEN h.run_id = said->>'run_id' AND h.partition_key = coalesce(said->>'partition_key', '')
               ELSE h.status = 'running' END
    ORDER BY h.started_at DESC, h.id DESC LIMIT 1
$$;

-- Closes a run's history row, unless it is closed, and the state row if the run owns it: a newer run's state is never
-- touched. Counts that are not given are those of the last checkpoint.
CREATE OR REPLACE FUNCTION vantage_close_run(
    p_resource text, p_status text, p_synced int, p_created int, p_updated int, p_errors jsonb, p_watermark timestamptz
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    said jsonb := vantage_run_said();
    state vantage_sync_state := vantage_lock_state(p_resource);
    told vantage_sync_history;
    ended timestamptz;
    problems jsonb := CASE WHEN coalesce(jsonb_typeof(p_errors), 'null') = 'null' THEN '[]'
                           WHEN jsonb_typeof(p_errors) = 'array' THEN p_errors ELSE jsonb_build_array(p_errors) END;
    provisional boolean;
    again boolean;
    progressed boolean;
BEGIN
    SELECT * INTO told FROM vantage_told_run(p_resource);
    IF told.id IS NULL THEN
        IF p_status = 'success' AND NOT said ? 'run_id' THEN
            RAISE EXCEPTION 'no sync of % is running, so none can be completed; call start_vantage_sync first', p_resource;
        END IF;
        -- it never said that it began: turned away while another ran, or lost before its first step
        IF vantage_is_late(p_resource)
           OR EXISTS (SELECT 1 FROM vantage_sync_history h WHERE h.resource = p_resource AND h.status = 'running') THEN
            PERFORM vantage_add_history(state, said->>'run_id', false);
        ELSE
            PERFORM start_vantage_sync(p_resource);
            state := vantage_lock_state(p_resource);
        END IF;
        SELECT * INTO told FROM vantage_told_run(p_resource);
    END IF;

    provisional := told.status = 'failed' AND told.errors->0 ? 'provisional';
    -- a run taken for dead that commits after all: its rows are there, so it succeeded
    again := p_status = 'success' AND told.status IN ('failed', 'cancelled') AND NOT provisional;
    IF told.status <> 'running' AND NOT provisional AND NOT again THEN
        RETURN;
    END IF;
    IF provisional AND p_status = 'failed' AND problems = '[]' THEN
        problems := told.errors #- '{0,provisional}';
    END IF;
    ended := greatest(coalesce((said->>'completed_at')::timestamptz, clock_timestamp()), told.started_at);
    progressed := p_synced IS NOT NULL OR told.checkpoint IS NOT NULL;
    told.records_synced := coalesce(p_synced, told.records_synced);
    told.records_created := coalesce(p_created, told.records_created);
    told.records_updated := coalesce(p_updated, told.records_updated);

    IF again AND state.last_sync_status = 'failed' AND NOT EXISTS (
        SELECT 1 FROM vantage_sync_history h WHERE h.resource = p_resource AND h.id > told.id) THEN
        UPDATE vantage_sync_state SET last_sync_status = 'running', completed_at = NULL, duration_ms = NULL
        WHERE resource = p_resource RETURNING * INTO state;
        told.status := 'running';
    END IF;
    IF told.status = 'running' AND state.last_sync_status = 'running' THEN
        UPDATE vantage_sync_state SET
            last_sync_status = p_status,
            last_sync_time = CASE WHEN p_status = 'success' THEN greatest(last_sync_time, p_watermark) ELSE last_sync_time END,
            records_synced = CASE WHEN progressed THEN told.records_synced ELSE records_synced END,
            records_created = CASE WHEN progressed THEN told.records_created ELSE records_created END,
            records_updated = CASE WHEN progressed THEN told.records_updated ELSE records_updated END,
            errors = problems,
            completed_at = greatest(ended, started_at)
        WHERE resource = p_resource RETURNING * INTO state;
        told.watermark_after := state.last_sync_time;
    ELSIF p_status = 'success' THEN
        told.watermark_after := p_watermark;
    END IF;

    UPDATE vantage_sync_history SET
        status = CASE WHEN p_status = 'failed' AND said->>'status' = 'cancelled' THEN 'cancelled' ELSE p_status END,
        completed_at = ended,
        duration_ms = ceil(extract(epoch FROM ended - started_at) * 1000),
        records_synced = told.records_synced,
        records_created = told.records_created,
        records_updated = told.records_updated,
        records_unchanged = coalesce((said->>'records_unchanged')::int, records_unchanged),
        records_quarantined = coalesce((said->>'records_quarantined')::int, records_quarantined),
        records_deleted = coalesce((said->>'records_deleted')::int, records_deleted),
        records_cleared_held = coalesce((said->>'records_cleared_held')::int, records_cleared_held),
        api_calls = coalesce((said->>'api_calls')::int, api_calls),
        checkpoint = coalesce(said->'checkpoint', checkpoint),
        watermark_after = told.watermark_after,
        errors = problems
    WHERE id = told.id AND started_at = told.started_at;
END $$;

-- Marks a sync as done. The watermark never moves back; an explicit NULL leaves it as it is.
CREATE OR REPLACE FUNCTION complete_vantage_sync(
    p_resource text, p_records_synced int, p_records_created int, p_records_updated int, p_watermark timestamptz DEFAULT now()
) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT vantage_close_run(p_resource, 'success', coalesce(p_records_synced, 0), coalesce(p_records_created, 0),
                             coalesce(p_records_updated, 0), vantage_run_said()->'errors', p_watermark)
$$;

-- Marks a sync as failed. The watermark stays where it is.
CREATE OR REPLACE FUNCTION fail_vantage_sync(p_resource text, p_errors jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT vantage_close_run(p_resource, 'failed', (said->>'records_synced')::int, (said->>'records_created')::int,
                             (said->>'records_updated')::int, p_errors, NULL)
    FROM vantage_run_said() said
$$;

-- Counts and position of a running sync, for whoever watches.
CREATE OR REPLACE FUNCTION checkpoint_vantage_sync(p_resource text, p_details jsonb) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    UPDATE vantage_sync_history h SET
        records_synced = coalesce((p_details->>'records_synced')::int, h.records_synced),
        records_created = coalesce((p_details->>'records_created')::int, h.records_created),
        records_updated = coalesce((p_details->>'records_updated')::int, h.records_updated),
        records_unchanged = coalesce((p_details->>'records_unchanged')::int, h.records_unchanged),
        records_quarantined = coalesce((p_details->>'records_quarantined')::int, h.records_quarantined),
        records_deleted = coalesce((p_details->>'records_deleted')::int, h.records_deleted),
        api_calls = coalesce((p_details->>'api_calls')::int, h.api_calls),
        checkpoint = coalesce(p_details->'checkpoint', h.checkpoint, '{}')
    FROM vantage_told_run(p_resource) told
    WHERE h.id = told.id AND h.started_at = told.started_at AND h.status = 'running'
$$;

DO $$
DECLARE made regprocedure;
BEGIN
    FOR made IN SELECT oid FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname IN (
        'start_vantage_sync', 'complete_vantage_sync', 'fail_vantage_sync', 'checkpoint_vantage_sync',
        'vantage_run_said', 'vantage_lock_state', 'vantage_interrupted', 'vantage_add_history',
        'vantage_is_late', 'vantage_told_run', 'vantage_close_run',
        'update_vantage_sync_state_updated_at', 'calculate_vantage_sync_duration') LOOP
        PERFORM vantage_note('function', made::text, '20251105132840_vantage_sync_state');
        PERFORM vantage_close('FUNCTION ' || made::text);
    END LOOP;
END $$;
GRANT EXECUTE ON FUNCTION start_vantage_sync(text), complete_vantage_sync(text, int, int, int, timestamptz),
    fail_vantage_sync(text, jsonb), checkpoint_vantage_sync(text, jsonb) TO service_role;
