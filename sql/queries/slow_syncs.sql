-- Resources whose last sync took more than five minutes.
SELECT resource, duration_ms, completed_at, records_synced
FROM vantage_sync_state
WHERE duration_ms > 300000
ORDER BY completed_at DESC;
