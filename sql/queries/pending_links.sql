-- Links that wait for a record which the source does not have (yet).
SELECT table_name, column_name, parent_table, COUNT(*) AS links, MIN(first_seen_at) AS since, MIN(parent_key) AS example
FROM vantage_pending_links
GROUP BY table_name, column_name, parent_table
ORDER BY links DESC, table_name, column_name;
