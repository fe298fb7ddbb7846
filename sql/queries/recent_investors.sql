-- The ten investors that came last, from any source.
SELECT name, external_id, created_at
FROM investors
ORDER BY created_at DESC
LIMIT 10;
