-- Red, yellow, green.
SELECT * FROM sync_health ORDER BY CASE health_indicator WHEN 'red' THEN 1 WHEN 'yellow' THEN 2 ELSE 3 END, resource;
