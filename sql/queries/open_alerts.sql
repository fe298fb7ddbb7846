-- Conditions that people have been told of and that still hold.
SELECT resource, condition, began_at, notified_at, details
FROM vantage_alerts
WHERE ended_at IS NULL
ORDER BY began_at DESC;
