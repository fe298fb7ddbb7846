DO $$
BEGIN
    IF EXISTS (SELECT 1 FROM investors GROUP BY name HAVING count(*) > 1) THEN
        RAISE NOTICE 'investors share names, so the unique constraint on the name was not put back';
    ELSE
        ALTER TABLE investors ADD CONSTRAINT investors_name_key UNIQUE (name);
    END IF;
END $$;
