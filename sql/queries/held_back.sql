-- Clearings and deletions that were too large at once and wait for a decision.
SELECT resource, table_name, kind, column_name, records, share, held_at, run_id
FROM vantage_held_back
WHERE released_at IS NULL
ORDER BY held_at DESC;
