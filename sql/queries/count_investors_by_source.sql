-- How many investors each source has.
SELECT source_kind, COUNT(*) AS count
FROM investors
GROUP BY source_kind
ORDER BY count DESC;
