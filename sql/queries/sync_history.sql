-- The last fifty syncs: who ran them, and what came of it.
SELECT resource, partition_key, status, started_at, duration_ms, records_synced, records_created, records_updated,
       records_unchanged, records_deleted, records_quarantined,
       (SELECT coalesce(sum(b.records), 0) FROM vantage_held_back b WHERE (b.run_id, b.resource) = (h.run_id, h.resource)) AS held_back,
       jsonb_array_length(errors) AS errors,
       errors->0->>'code' AS first_error, api_calls, retries, attempt, partial, triggered_by, options, run_id
FROM vantage_sync_history h
ORDER BY started_at DESC, id DESC
LIMIT 50;
