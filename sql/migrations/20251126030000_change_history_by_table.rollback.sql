CREATE OR REPLACE FUNCTION vantage_keep_changes(p_table text, p_migration text, VARIADIC p_key text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM pg_trigger
               WHERE tgrelid = format('public.%I', p_table)::regclass AND tgname = 'vantage_record_change') THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TRIGGER vantage_record_change AFTER INSERT OR UPDATE ON public.%I FOR EACH ROW'
                   ' WHEN (current_setting(''vantage_pipeline.change_history'', true) = ''on'')'
                   ' EXECUTE FUNCTION vantage_record_change(%s)',
                   p_table, (SELECT string_agg(quote_literal(c), ', ') FROM unnest(p_key) c));
    PERFORM vantage_note('trigger', p_table || '.vantage_record_change', p_migration);
END $$;

DO $$
DECLARE
    m CONSTANT text := '20251126000000_change_history';
    t text;
    named text[];
BEGIN
    FOR t IN SELECT c.relname FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
             WHERE g.tgname = 'vantage_record_change' AND c.relnamespace = 'public'::regnamespace ORDER BY 1 LOOP
        named := vantage_key_of(t);
        EXECUTE format('DROP TRIGGER vantage_record_change ON public.%I', t);
        PERFORM vantage_keep_changes(t, m, VARIADIC named);
    END LOOP;
END $$;
