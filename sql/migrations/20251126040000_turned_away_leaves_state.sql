-- A run that was turned away is in the history alone: whoever holds the lock, a sync, a dry run or one that has just ended,
-- the state is that of the last sync that began.

CREATE OR REPLACE FUNCTION vantage_is_late(p_resource text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT EXISTS (SELECT 1 FROM vantage_sync_history h
                   WHERE h.resource = p_resource AND h.started_at > (vantage_run_said()->>'started_at')::timestamptz
                   AND h.errors->0->>'code' IS DISTINCT FROM 'SYNC_ALREADY_RUNNING')
$$;

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
        -- it never said that it began: turned away by whoever holds the lock, or lost before its first step
        IF (p_status = 'failed' AND problems->0->>'code' = 'SYNC_ALREADY_RUNNING')
           OR vantage_is_late(p_resource)
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
        SELECT 1 FROM vantage_sync_history h WHERE h.resource = p_resource AND h.id > told.id
        AND h.errors->0->>'code' IS DISTINCT FROM 'SYNC_ALREADY_RUNNING') THEN
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
