-- Red, yellow or green for each resource and why, by its own expected frequency.
SELECT *
FROM sync_health
ORDER BY
  CASE health_indicator
    WHEN 'red' THEN 1
    WHEN 'yellow' THEN 2
    WHEN 'green' THEN 3
  END,
  resource;
