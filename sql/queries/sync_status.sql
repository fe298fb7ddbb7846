-- The state of every resource, failures first.
SELECT
  resource,
  last_sync_status AS status,
  last_sync_time,
  records_synced,
  duration_ms,
  CASE
    WHEN last_sync_status = 'running' THEN EXTRACT(EPOCH FROM (now() - started_at))::INT
    ELSE NULL
  END AS running_seconds
FROM vantage_sync_state
ORDER BY
  CASE last_sync_status
    WHEN 'failed' THEN 1
    WHEN 'running' THEN 2
    WHEN 'never_run' THEN 3
    WHEN 'success' THEN 4
  END,
  resource;
