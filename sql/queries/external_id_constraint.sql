-- The constraint by which accounts are merged; one row when it is there.
SELECT constraint_name, constraint_type
FROM information_schema.table_constraints
WHERE table_name = 'investors'
  AND constraint_name = 'investors_external_id_unique';
