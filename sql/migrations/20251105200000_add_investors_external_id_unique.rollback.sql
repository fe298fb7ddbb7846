ALTER TABLE investors DROP CONSTRAINT IF EXISTS investors_external_id_unique CASCADE;
