-- The roles stay: they belong to the cluster, and other databases may use them.
DO $$
BEGIN
    IF to_regprocedure('public.vantage_drop_made(text)') IS NOT NULL THEN
        PERFORM vantage_drop_made('20251101000000_base_tables');
    END IF;
END $$;
DROP FUNCTION IF EXISTS vantage_drop_made(text);
DROP FUNCTION IF EXISTS vantage_ensure_link(text, text, text, text, text);
DROP FUNCTION IF EXISTS vantage_ensure_key(text, text[], text, text, boolean);
DROP FUNCTION IF EXISTS vantage_ensure_index(text, text, text, text);
DROP FUNCTION IF EXISTS vantage_ensure_table(text, text);
DROP FUNCTION IF EXISTS vantage_ensure_columns(text, text, text[]);
DROP FUNCTION IF EXISTS vantage_made_table(text);
DROP FUNCTION IF EXISTS vantage_plan_table(text, text);
DROP FUNCTION IF EXISTS vantage_note(text, text, text, text);
DROP TABLE IF EXISTS vantage_schema_objects;
DROP FUNCTION IF EXISTS vantage_close_table(text);
DROP FUNCTION IF EXISTS vantage_close(text);
