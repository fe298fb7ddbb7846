-- Resources whose last sync failed, with its errors.
SELECT
  resource,
  last_sync_status,
  completed_at,
  duration_ms,
  jsonb_array_length(errors) AS error_count,
  errors
FROM vantage_sync_state
WHERE last_sync_status = 'failed'
ORDER BY completed_at DESC;
