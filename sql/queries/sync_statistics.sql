-- All resources in one line.
SELECT
  COUNT(*) AS total_resources,
  COUNT(*) FILTER (WHERE last_sync_status = 'success') AS successful,
  COUNT(*) FILTER (WHERE last_sync_status = 'failed') AS failed,
  COUNT(*) FILTER (WHERE last_sync_status = 'running') AS running,
  COUNT(*) FILTER (WHERE last_sync_status = 'never_run') AS never_run,
  SUM(records_synced) AS total_records_synced,
  AVG(duration_ms) FILTER (WHERE duration_ms IS NOT NULL) AS avg_duration_ms,
  MAX(duration_ms) AS max_duration_ms
FROM vantage_sync_state;
