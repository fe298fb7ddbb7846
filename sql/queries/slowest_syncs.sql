-- The five slowest of the last syncs, with their rate.
SELECT
  resource,
  duration_ms,
  ROUND(duration_ms / 1000.0, 2) AS duration_seconds,
  records_synced,
  ROUND(records_synced::NUMERIC / NULLIF(duration_ms, 0) * 1000, 2) AS records_per_second,
  completed_at
FROM vantage_sync_state
WHERE duration_ms IS NOT NULL
ORDER BY duration_ms DESC
LIMIT 5;
