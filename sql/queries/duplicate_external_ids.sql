-- External ids that more than one investor has; none while the constraint stands.
SELECT external_id, COUNT(*) AS count
FROM investors
WHERE external_id IS NOT NULL
GROUP BY external_id
HAVING COUNT(*) > 1;
