-- Syncs that have run for more than half an hour.
SELECT
  resource,
  started_at,
  EXTRACT(EPOCH FROM (now() - started_at)) / 60 AS minutes_running
FROM vantage_sync_state
WHERE last_sync_status = 'running'
  AND started_at < now() - INTERVAL '30 minutes';
