-- Resources that failed three times or more in a row.
SELECT resource, consecutive_failures, last_sync_time
FROM sync_health
WHERE consecutive_failures >= 3
ORDER BY consecutive_failures DESC;
