-- The ten investors that came last from Vantage.
SELECT id, name, external_id, source_kind, created_at
FROM investors
WHERE source_kind = 'vantage'
ORDER BY created_at DESC
LIMIT 10;
