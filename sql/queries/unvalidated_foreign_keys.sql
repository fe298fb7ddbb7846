-- Foreign keys that older rows broke: they hold for new rows only until a sync or a repair finds none that does.
SELECT conrelid::regclass AS table_name, conname AS constraint_name, pg_get_constraintdef(oid) AS definition
FROM pg_constraint
WHERE contype = 'f' AND NOT convalidated
ORDER BY 1, 2;
