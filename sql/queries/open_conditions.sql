-- What is wrong now, with since when.
SELECT resource, condition, severity, since, what, run_id
FROM sync_conditions
ORDER BY severity, resource, condition;
