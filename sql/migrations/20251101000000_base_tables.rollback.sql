ALTER TABLE deals DROP CONSTRAINT IF EXISTS deals_external_id_unique;
DO $$ BEGIN PERFORM vantage_drop_made('20251101000000_base_tables'); END $$;
DROP FUNCTION vantage_drop_made(text);
DROP FUNCTION vantage_ensure_link(text, text, text, text);
DROP FUNCTION vantage_ensure_key(text, text, text);
DROP FUNCTION vantage_ensure_table(text, text);
DROP FUNCTION vantage_ensure_column(text, text, text, text);
DROP FUNCTION vantage_close_table(text);
DROP TABLE vantage_schema_objects;
