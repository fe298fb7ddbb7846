-- Different people have the same name: no unique constraint or index on the name alone, whatever it is called.
DO $$
DECLARE found record;
BEGIN
    FOR found IN SELECT c.conname FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND c.conkey = ARRAY[a.attnum]
                 WHERE c.conrelid = 'investors'::regclass AND c.contype = 'u' AND a.attname = 'name' LOOP
        EXECUTE format('ALTER TABLE investors DROP CONSTRAINT %I', found.conname);
    END LOOP;
    FOR found IN SELECT i.indexrelid::regclass AS named FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND i.indkey::int2[] = ARRAY[a.attnum]
                 WHERE i.indrelid = 'investors'::regclass AND i.indisunique AND NOT i.indisprimary AND a.attname = 'name' LOOP
        EXECUTE format('DROP INDEX %s', found.named);
    END LOOP;
END $$;
