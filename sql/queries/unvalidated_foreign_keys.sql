-- Foreign keys that older rows break: they hold for new rows only until those are mended.
SELECT conrelid::regclass AS table_name, conname AS constraint_name, pg_get_constraintdef(oid) AS definition
FROM pg_constraint
WHERE contype = 'f' AND NOT convalidated
ORDER BY 1, 2;
