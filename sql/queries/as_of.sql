-- The accounts as they were a week ago, as far as the change history goes (VANTAGE_PIPELINE_CHANGE_HISTORY).
SELECT row_key AS external_id, columns->>'name' AS name, columns->>'country' AS country, columns->>'is_active' AS is_active
FROM vantage_as_of('investors', now() - interval '7 days')
ORDER BY row_key;
