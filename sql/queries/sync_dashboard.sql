-- Red, yellow or green for each resource, by 24 hours for all; from the state table alone.
WITH sync_health AS (
  SELECT
    resource,
    last_sync_status,
    last_sync_time,
    EXTRACT(EPOCH FROM (now() - last_sync_time)) / 3600 AS hours_since_sync,
    duration_ms,
    records_synced,
    jsonb_array_length(errors) AS error_count,
    CASE
      WHEN last_sync_status = 'failed' THEN 'red'
      WHEN last_sync_status = 'running' AND started_at < now() - INTERVAL '30 minutes' THEN 'red'
      WHEN last_sync_time < now() - INTERVAL '24 hours' THEN 'yellow'
      WHEN last_sync_status = 'never_run' THEN 'yellow'
      ELSE 'green'
    END AS health_indicator
  FROM vantage_sync_state
)
SELECT * FROM sync_health
ORDER BY
  CASE health_indicator
    WHEN 'red' THEN 1
    WHEN 'yellow' THEN 2
    WHEN 'green' THEN 3
  END,
  resource;
