-- The last fifty syncs: who ran them, and what came of it.
SELECT resource, partition_key, status, started_at, duration_ms, records_synced, records_created, records_updated,
       records_unchanged, records_quarantined, api_calls, triggered_by, run_id
FROM vantage_sync_history
ORDER BY started_at DESC, id DESC
LIMIT 50;
