-- Different people have the same name: no unique constraint or index on the name alone, whatever it is called.
DO $$
DECLARE found record;
BEGIN
    FOR found IN SELECT c.conname, pg_get_constraintdef(c.oid) AS definition
                 FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND c.conkey = ARRAY[a.attnum]
                 WHERE c.conrelid = 'public.investors'::regclass AND c.contype = 'u' AND a.attname = 'name' LOOP
        EXECUTE format('ALTER TABLE public.investors DROP CONSTRAINT %I', found.conname);
        PERFORM vantage_note('dropped constraint', 'investors.' || found.conname, '20251105200002_drop_investors_name_unique',
                             format('ALTER TABLE public.investors ADD CONSTRAINT %I %s', found.conname, found.definition));
    END LOOP;
    -- also one on an expression of the name; a partial one over other columns is another rule and stays
    FOR found IN SELECT c.relname, pg_get_indexdef(i.indexrelid) AS definition
                 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                 WHERE i.indrelid = 'public.investors'::regclass AND i.indisunique AND NOT i.indisprimary
                   AND (SELECT array_agg(DISTINCT a.attname::text) FROM pg_depend d
                        JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                        WHERE d.objid = i.indexrelid AND d.refobjid = i.indrelid AND d.refobjsubid > 0) = ARRAY['name'] LOOP
        EXECUTE format('DROP INDEX public.%I', found.relname);
        PERFORM vantage_note('dropped index', found.relname, '20251105200002_drop_investors_name_unique', found.definition);
    END LOOP;
END $$;
