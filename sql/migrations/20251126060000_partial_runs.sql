-- What a partial run says: one that read but some records (given ids, a limit, a period by another date, old days, a repair,
-- what was in quarantine). It ends no failure, moves nothing that is late, and does nothing that was held back. Also: the
-- number of the attempt, how many requests were tried again, and which resources are waited for.

DO $$
DECLARE m CONSTANT text := '20251126060000_partial_runs';
BEGIN
    PERFORM vantage_ensure_columns('vantage_sync_history', m, 'partial boolean NOT NULL DEFAULT false',
                                   'attempt int NOT NULL DEFAULT 1', 'retries int NOT NULL DEFAULT 0');
    PERFORM vantage_ensure_columns('vantage_sync_expectation', m, 'watched boolean NOT NULL DEFAULT true',
                                   'from_settings boolean NOT NULL DEFAULT false');
END $$;
COMMENT ON COLUMN vantage_sync_history.partial IS 'Whether the run read but some records, so that it says nothing of the others';
COMMENT ON COLUMN vantage_sync_history.attempt IS '1, or more where Dagster tried the run again';
COMMENT ON COLUMN vantage_sync_history.retries IS 'Requests of the API that were tried again';
COMMENT ON COLUMN vantage_sync_expectation.watched IS 'Whether the system is set up; nobody waits for one that is not';
COMMENT ON COLUMN vantage_sync_expectation.from_settings IS 'Whether expected_every is that of VANTAGE_PIPELINE_EXPECTED_HOURS';
UPDATE vantage_sync_history SET partial = true
WHERE options ?| ARRAY['limit', 'ids', 'repair', 'by', 'from_date', 'to_date'] OR triggered_by = 'quarantine replay';

-- What a run says of itself beyond the functions' arguments: at once what is known before it reads, and the rest at its end.
CREATE OR REPLACE FUNCTION vantage_keep_run_facts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE said jsonb := vantage_run_said();
BEGIN
    IF NEW.run_id = said->>'run_id' THEN
        NEW.partial := coalesce((said->>'partial')::boolean, NEW.partial);
        NEW.attempt := coalesce((said->>'attempt')::int, NEW.attempt);
        NEW.retries := coalesce((said->>'retries')::int, NEW.retries);
    END IF;
    RETURN NEW;
END $$;

-- Failures of a resource since its last success; a number, for a view that everyone may read. What a person cancelled,
-- what was turned away and what was partial are no failures, and a partial success ends none.
CREATE OR REPLACE FUNCTION vantage_consecutive_failures(p_resource text) RETURNS int
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT count(*)::int FROM vantage_sync_history h
    WHERE h.resource = p_resource AND h.status = 'failed' AND NOT h.partial
      AND h.errors->0->>'code' IS DISTINCT FROM 'SYNC_ALREADY_RUNNING'
      AND h.started_at > coalesce((SELECT max(s.started_at) FROM vantage_sync_history s
                                   WHERE s.resource = p_resource AND s.status = 'success' AND NOT s.partial), '-infinity')
$$;

-- What a sync of the resource usually takes, in milliseconds: the median of the 20 successes before the last, if there
-- are five.
CREATE OR REPLACE FUNCTION vantage_usual_duration(p_resource text) RETURNS double precision
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT CASE WHEN count(*) >= 5 THEN percentile_cont(0.5) WITHIN GROUP (ORDER BY before.duration_ms) END
    FROM (SELECT h.duration_ms FROM vantage_sync_history h
          WHERE h.resource = p_resource AND h.status = 'success' AND NOT h.partial
          ORDER BY h.started_at DESC OFFSET 1 LIMIT 20) before
$$;

-- Whether the last run that ended was partial while the last whole one failed or was cancelled: the state row tells of the
-- partial one.
CREATE OR REPLACE FUNCTION vantage_hides_failure(p_resource text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT coalesce(last.partial AND whole.status IN ('failed', 'cancelled'), false)
    FROM (SELECT h.partial FROM vantage_sync_history h WHERE h.resource = p_resource AND h.status <> 'running'
            AND h.errors->0->>'code' IS DISTINCT FROM 'SYNC_ALREADY_RUNNING'
          ORDER BY h.started_at DESC, h.id DESC LIMIT 1) last,
         (SELECT h.status FROM vantage_sync_history h WHERE h.resource = p_resource AND h.status <> 'running' AND NOT h.partial
            AND h.errors->0->>'code' IS DISTINCT FROM 'SYNC_ALREADY_RUNNING'
          ORDER BY h.started_at DESC, h.id DESC LIMIT 1) whole
$$;

DO $$
DECLARE m CONSTANT text := '20251126060000_partial_runs';
BEGIN
    PERFORM vantage_note('function', f, m), vantage_close('FUNCTION ' || f)
    FROM unnest(ARRAY['vantage_keep_run_facts()', 'vantage_hides_failure(text)']) f;
    IF NOT EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = 'public.vantage_sync_history'::regclass
                   AND tgname = 'trigger_vantage_keep_run_facts') THEN
        CREATE TRIGGER trigger_vantage_keep_run_facts BEFORE INSERT OR UPDATE ON vantage_sync_history
            FOR EACH ROW EXECUTE FUNCTION vantage_keep_run_facts();
        PERFORM vantage_note('trigger', 'vantage_sync_history.trigger_vantage_keep_run_facts', m);
    END IF;
END $$;
GRANT EXECUTE ON FUNCTION vantage_hides_failure(text) TO authenticated, service_role;

-- One row a resource and condition that holds now. A failure ends with the next success of a whole sync, and late is what no
-- whole sync has brought up to date, half an hour after its time.
CREATE OR REPLACE VIEW sync_conditions AS
SELECT s.resource, c.condition, c.severity, c.since, c.what,
       CASE WHEN c.condition = 'stuck'
            THEN (SELECT h.run_id FROM vantage_sync_history h WHERE h.resource = s.resource AND h.status = 'running'
                  ORDER BY h.started_at DESC, h.id DESC LIMIT 1)
            WHEN c.condition IN ('slow', 'slower_than_usual') THEN coalesce(w.run_id, r.run_id)
            ELSE r.run_id END AS run_id,
       CASE WHEN c.condition IN ('failed', 'cancelled', 'lost', 'failing_repeatedly')
            THEN CASE WHEN hidden.failure OR s.last_sync_status = 'running' THEN coalesce(r.errors, '[]') ELSE s.errors END
            ELSE '[]' END AS errors
FROM vantage_sync_state s
LEFT JOIN vantage_sync_expectation x ON x.resource = s.resource
CROSS JOIN LATERAL (SELECT vantage_hides_failure(s.resource) AS failure) hidden
-- the run that tells how the resource is: the last that ended, or the last whole one where that failed
LEFT JOIN LATERAL (SELECT h.run_id, h.status, h.errors, h.completed_at, h.duration_ms, h.partial
                   FROM vantage_sync_history h WHERE h.resource = s.resource AND h.status <> 'running'
                     AND NOT (hidden.failure AND h.partial)
                     AND h.errors->0->>'code' IS DISTINCT FROM 'SYNC_ALREADY_RUNNING'
                   ORDER BY h.started_at DESC, h.id DESC LIMIT 1) r ON true
-- the run that tells how long a sync takes, where the last was partial
LEFT JOIN LATERAL (SELECT h.run_id, h.completed_at, h.duration_ms FROM vantage_sync_history h
                   WHERE h.resource = s.resource AND h.status <> 'running' AND NOT h.partial AND (r.partial OR hidden.failure)
                     AND h.errors->0->>'code' IS DISTINCT FROM 'SYNC_ALREADY_RUNNING'
                   ORDER BY h.started_at DESC, h.id DESC LIMIT 1) w ON true
CROSS JOIN LATERAL (
    SELECT hidden.failure OR s.last_sync_status = 'failed'
           OR (s.last_sync_status = 'running' AND r.status IN ('failed', 'cancelled'))
               AS failing,
           CASE WHEN r.status = 'cancelled' THEN 'cancelled'
                WHEN (CASE WHEN hidden.failure THEN r.errors->0 ELSE coalesce(s.errors->0, r.errors->0) END)->>'code'
                     IN ('RUN_LOST', 'INTERRUPTED') THEN 'lost'
                ELSE 'failed' END AS how,
           CASE WHEN hidden.failure THEN r.completed_at ELSE coalesce(s.completed_at, r.completed_at) END AS ended,
           CASE WHEN r.partial OR hidden.failure THEN w.completed_at ELSE coalesce(s.completed_at, r.completed_at) END AS took_until,
           CASE WHEN r.partial OR hidden.failure THEN w.duration_ms ELSE coalesce(s.duration_ms, r.duration_ms) END AS took_ms,
           coalesce(x.expected_every, interval '24 hours') AS expected_every,
           coalesce(x.slow_after, interval '5 minutes') AS slow_after,
           vantage_usual_duration(s.resource) AS usual_ms,
           vantage_consecutive_failures(s.resource) AS failures,
           greatest(s.last_sync_time, (SELECT max(h.completed_at) FROM vantage_sync_history h
                                       WHERE h.resource = s.resource AND h.status = 'success' AND NOT h.partial)) AS last_success
) f
CROSS JOIN LATERAL (VALUES
    ('failed', 'red', f.failing AND f.how = 'failed', f.ended, 'the last sync failed'),
    ('cancelled', 'red', f.failing AND f.how = 'cancelled', f.ended, 'the last sync was cancelled'),
    ('lost', 'red', f.failing AND f.how = 'lost', f.ended, 'the process of the last sync is gone'),
    ('failing_repeatedly', 'red', f.failures >= 3, f.ended, format('%s syncs failed one after the other', f.failures)),
    ('stuck', 'red', s.last_sync_status = 'running' AND s.started_at < now() - interval '30 minutes', s.started_at,
     'a sync has been running for more than 30 minutes'),
    ('stale', 'yellow', coalesce(x.watched, true)
        AND coalesce(f.last_success, s.created_at) < now() - f.expected_every - interval '30 minutes',
     coalesce(f.last_success, s.created_at),
     format('no success for more than %s hours', round((extract(epoch FROM f.expected_every) / 3600)::numeric, 1))),
    ('slow', 'yellow', f.took_ms > extract(epoch FROM f.slow_after) * 1000, f.took_until,
     format('the last sync took %s s', round(f.took_ms / 1000.0))),
    ('slower_than_usual', 'yellow', NOT f.failing AND f.took_ms > greatest(2 * f.usual_ms, f.usual_ms + 5000), f.took_until,
     format('the last sync took %s s, usual are %s s', round(f.took_ms / 1000.0), round((f.usual_ms / 1000)::numeric)))
) c (condition, severity, holds, since, what)
WHERE c.holds
UNION ALL
-- Held back, and neither done since nor seen to be no longer so by a full sync; a part of either does not do
SELECT h.resource, 'held_back', 'yellow', min(h.held_at),
       string_agg(DISTINCT CASE h.kind
           WHEN 'clear' THEN format('%s.%s: clearing %s values was held back', h.table_name, h.column_name, h.records)
           ELSE format('%s: deleting %s rows was held back', h.table_name, h.records) END, '; '),
       max(h.run_id), '[]'
FROM vantage_held_back h
WHERE h.released_at IS NULL AND NOT EXISTS (
    SELECT 1 FROM vantage_sync_history later
    WHERE later.resource = h.resource AND later.status = 'success' AND NOT later.partial AND later.run_id <> h.run_id
      AND later.completed_at > h.held_at
      AND (later.options->>'mode' = 'full'
           OR (h.kind = 'delete' AND (later.options->>'allow_delete')::boolean)
           OR (h.kind = 'clear' AND later.options->'allow_clear' ?| ARRAY['*', h.table_name || '.' || h.column_name])))
GROUP BY h.resource;
DO $$
BEGIN
    IF current_setting('server_version_num')::int >= 150000 THEN
        ALTER VIEW sync_conditions SET (security_invoker = true);
    END IF;
END $$;

CREATE OR REPLACE VIEW sync_health AS
SELECT s.resource, s.last_sync_status, s.last_sync_time,
       extract(epoch FROM now() - s.last_sync_time) / 3600 AS hours_since_sync,
       s.duration_ms, s.records_synced, jsonb_array_length(s.errors) AS error_count,
       f.consecutive_failures,
       array_remove(ARRAY[
           CASE WHEN c.stuck THEN 'stuck' END,
           CASE WHEN c.stale OR (e.watched AND s.last_sync_status = 'never_run'
                                 AND s.created_at < now() - e.expected_every - interval '30 minutes') THEN 'stale' END,
           CASE WHEN s.duration_ms > extract(epoch FROM e.slow_after) * 1000 THEN 'slow' END,
           -- twice the usual, and by five seconds at least: a second instead of half of one worries nobody
           CASE WHEN s.last_sync_status = 'success' AND s.duration_ms > greatest(2 * f.usual_ms, f.usual_ms + 5000)
                THEN 'slower_than_usual' END,
           CASE WHEN f.consecutive_failures >= 3 THEN 'failing_repeatedly' END,
           CASE WHEN c.failed THEN 'failed' END,
           CASE WHEN s.last_sync_status = 'never_run' THEN 'never_run' END], NULL) AS conditions,
       CASE WHEN c.failed OR c.stuck THEN 'red'
            WHEN c.stale OR (e.watched AND s.last_sync_status = 'never_run') THEN 'yellow'
            ELSE 'green' END AS health_indicator
FROM vantage_sync_state s
LEFT JOIN vantage_sync_expectation x ON x.resource = s.resource
CROSS JOIN LATERAL (SELECT coalesce(x.expected_every, interval '24 hours') AS expected_every,
                           coalesce(x.slow_after, interval '5 minutes') AS slow_after,
                           coalesce(x.watched, true) AS watched) e
CROSS JOIN LATERAL (SELECT s.last_sync_status = 'running' AND s.started_at < now() - interval '30 minutes' AS stuck,
                           coalesce(e.watched AND s.last_sync_time < now() - e.expected_every - interval '30 minutes', false) AS stale,
                           s.last_sync_status = 'failed'
                           OR (s.last_sync_status = 'success' AND vantage_hides_failure(s.resource)) AS failed) c
CROSS JOIN LATERAL (SELECT vantage_consecutive_failures(s.resource) AS consecutive_failures,
                           vantage_usual_duration(s.resource) AS usual_ms) f;
DO $$
BEGIN
    IF current_setting('server_version_num')::int >= 150000 THEN
        ALTER VIEW sync_health SET (security_invoker = true);
    END IF;
END $$;
