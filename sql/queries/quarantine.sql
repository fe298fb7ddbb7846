-- Records that could not become rows, and why.
SELECT resource, table_name, record_key, code, field, message, times_seen, last_seen_at
FROM vantage_quarantine
WHERE resolved_at IS NULL
ORDER BY resource, record_key;
