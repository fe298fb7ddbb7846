-- Resources without a success for a day, those that never ran included.
SELECT
  resource,
  last_sync_time,
  last_sync_status,
  EXTRACT(EPOCH FROM (now() - last_sync_time)) / 3600 AS hours_since_sync
FROM vantage_sync_state
WHERE last_sync_time < now() - INTERVAL '24 hours'
   OR (last_sync_status = 'never_run' AND created_at < now() - INTERVAL '24 hours')
ORDER BY last_sync_time ASC;
