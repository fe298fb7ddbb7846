CREATE OR REPLACE VIEW sync_conditions AS
SELECT s.resource, c.condition, c.severity, c.since, c.what,
       CASE WHEN c.condition = 'stuck'
            THEN (SELECT h.run_id FROM vantage_sync_history h WHERE h.resource = s.resource AND h.status = 'running'
                  ORDER BY h.started_at DESC, h.id DESC LIMIT 1)
            ELSE r.run_id END AS run_id,
       CASE WHEN c.condition IN ('failed', 'cancelled', 'lost', 'failing_repeatedly')
            THEN CASE WHEN s.last_sync_status = 'running' THEN coalesce(r.errors, '[]') ELSE s.errors END
            ELSE '[]' END AS errors
FROM vantage_sync_state s
LEFT JOIN vantage_sync_expectation x ON x.resource = s.resource
LEFT JOIN LATERAL (SELECT h.run_id, h.status, h.errors, h.started_at, h.completed_at, h.duration_ms
                   FROM vantage_sync_history h WHERE h.resource = s.resource AND h.status <> 'running'
                     AND h.errors->0->>'code' IS DISTINCT FROM 'SYNC_ALREADY_RUNNING'
                   ORDER BY h.started_at DESC, h.id DESC LIMIT 1) r ON true
CROSS JOIN LATERAL (
    SELECT s.last_sync_status = 'failed' OR (s.last_sync_status = 'running' AND r.status IN ('failed', 'cancelled')) AS failing,
           CASE WHEN r.status = 'cancelled' THEN 'cancelled'
                WHEN coalesce(s.errors->0, r.errors->0)->>'code' IN ('RUN_LOST', 'INTERRUPTED') THEN 'lost'
                ELSE 'failed' END AS how,
           coalesce(s.completed_at, r.completed_at) AS ended,
           coalesce(s.duration_ms, r.duration_ms) AS took_ms,
           coalesce(x.expected_every, interval '24 hours') AS expected_every,
           coalesce(x.slow_after, interval '5 minutes') AS slow_after,
           vantage_usual_duration(s.resource) AS usual_ms,
           vantage_consecutive_failures(s.resource) AS failures,
           greatest(s.last_sync_time, (SELECT max(h.completed_at) FROM vantage_sync_history h
                                       WHERE h.resource = s.resource AND h.status = 'success')) AS last_success
) f
CROSS JOIN LATERAL (VALUES
    ('failed', 'red', f.failing AND f.how = 'failed', f.ended, 'the last sync failed'),
    ('cancelled', 'red', f.failing AND f.how = 'cancelled', f.ended, 'the last sync was cancelled'),
    ('lost', 'red', f.failing AND f.how = 'lost', f.ended, 'the process of the last sync is gone'),
    ('failing_repeatedly', 'red', f.failures >= 3, f.ended, format('%s syncs failed one after the other', f.failures)),
    ('stuck', 'red', s.last_sync_status = 'running' AND s.started_at < now() - interval '30 minutes', s.started_at,
     'a sync has been running for more than 30 minutes'),
    ('stale', 'yellow', coalesce(f.last_success, s.created_at) < now() - f.expected_every - interval '30 minutes',
     coalesce(f.last_success, s.created_at),
     format('no success for more than %s hours', round((extract(epoch FROM f.expected_every) / 3600)::numeric, 1))),
    ('slow', 'yellow', f.took_ms > extract(epoch FROM f.slow_after) * 1000, f.ended,
     format('the last sync took %s s', round(f.took_ms / 1000.0))),
    ('slower_than_usual', 'yellow', NOT f.failing AND f.took_ms > greatest(2 * f.usual_ms, f.usual_ms + 5000), f.ended,
     format('the last sync took %s s, usual are %s s', round(f.took_ms / 1000.0), round((f.usual_ms / 1000)::numeric)))
) c (condition, severity, holds, since, what)
WHERE c.holds
UNION ALL
-- Held back, and neither done since nor seen to be no longer so by a full sync
SELECT h.resource, 'held_back', 'yellow', min(h.held_at),
       string_agg(DISTINCT CASE h.kind
           WHEN 'clear' THEN format('%s.%s: clearing %s values was held back', h.table_name, h.column_name, h.records)
           ELSE format('%s: deleting %s rows was held back', h.table_name, h.records) END, '; '),
       max(h.run_id), '[]'
FROM vantage_held_back h
WHERE h.released_at IS NULL AND NOT EXISTS (
    SELECT 1 FROM vantage_sync_history later
    WHERE later.resource = h.resource AND later.status = 'success' AND later.run_id <> h.run_id
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
DO $$
BEGIN
    IF current_setting('server_version_num')::int >= 150000 THEN
        ALTER VIEW sync_health SET (security_invoker = true);
    END IF;
END $$;

CREATE OR REPLACE FUNCTION vantage_consecutive_failures(p_resource text) RETURNS int
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT count(*)::int FROM vantage_sync_history h
    WHERE h.resource = p_resource AND h.status = 'failed'
      AND h.errors->0->>'code' IS DISTINCT FROM 'SYNC_ALREADY_RUNNING'
      AND h.started_at > coalesce((SELECT max(s.started_at) FROM vantage_sync_history s
                                   WHERE s.resource = p_resource AND s.status = 'success'), '-infinity')
$$;

CREATE OR REPLACE FUNCTION vantage_usual_duration(p_resource text) RETURNS double precision
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT CASE WHEN count(*) >= 5 THEN percentile_cont(0.5) WITHIN GROUP (ORDER BY before.duration_ms) END
    FROM (SELECT h.duration_ms FROM vantage_sync_history h WHERE h.resource = p_resource AND h.status = 'success'
          ORDER BY h.started_at DESC OFFSET 1 LIMIT 20) before
$$;

DO $$ BEGIN PERFORM vantage_drop_made('20251126060000_partial_runs'); END $$;
