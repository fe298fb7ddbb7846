-- Roles, the helpers that later migrations use, and the tables investors and deals where they are missing.
-- Everything here is additive: what is there already keeps its type, owner, grants and policies.

DO $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'authenticated') THEN CREATE ROLE authenticated NOLOGIN; END IF;
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'service_role') THEN CREATE ROLE service_role NOLOGIN; END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- another database of the cluster made them in the meantime
END $$;

GRANT USAGE ON SCHEMA public TO authenticated, service_role;

-- Takes every right on a table or function from whoever is not service_role. Supabase grants rights on new objects
-- to anon and authenticated by default, so PUBLIC alone is not enough.
CREATE OR REPLACE FUNCTION vantage_close(p_object text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE outsider text;
BEGIN
    EXECUTE 'REVOKE ALL ON ' || p_object || ' FROM PUBLIC';
    FOR outsider IN SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated') LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %I', p_object, outsider);
    END LOOP;
END $$;

-- Closes a table to everyone but service_role.
CREATE OR REPLACE FUNCTION vantage_close_table(p_table text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE counter text;
BEGIN
    EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', p_table);
    PERFORM vantage_close(format('TABLE public.%I', p_table));
    EXECUTE format('GRANT ALL ON TABLE public.%I TO service_role', p_table);
    IF NOT EXISTS (SELECT 1 FROM pg_policies
                   WHERE schemaname = 'public' AND tablename = p_table AND policyname = p_table || '_service') THEN
        EXECUTE format('CREATE POLICY %I ON public.%I FOR ALL TO service_role USING (true) WITH CHECK (true)',
                       p_table || '_service', p_table);
    END IF;
    FOR counter IN SELECT d.objid::regclass::text FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
                   WHERE d.refobjid = format('public.%I', p_table)::regclass LOOP
        PERFORM vantage_close('SEQUENCE ' || counter);
        EXECUTE format('GRANT USAGE ON SEQUENCE %s TO service_role', counter);
    END LOOP;
END $$;

CREATE TABLE IF NOT EXISTS vantage_schema_objects (
    kind text NOT NULL CHECK (kind IN ('table', 'column', 'constraint', 'index', 'type', 'policy', 'trigger', 'function',
                                       'dropped constraint', 'dropped index', 'replaced function')),
    name text NOT NULL,
    created_by_migration text NOT NULL,
    definition text,
    PRIMARY KEY (kind, name)
);
COMMENT ON TABLE vantage_schema_objects IS
    'What the migrations made, dropped or replaced, so that a rollback undoes that and nothing else';
DO $$ BEGIN PERFORM vantage_close_table('vantage_schema_objects'); END $$;

CREATE OR REPLACE FUNCTION vantage_note(p_kind text, p_name text, p_migration text, p_definition text DEFAULT NULL)
RETURNS void LANGUAGE sql SET search_path = pg_catalog, public, pg_temp AS $$
    INSERT INTO vantage_schema_objects VALUES (p_kind, p_name, p_migration, p_definition) ON CONFLICT DO NOTHING
$$;

-- Notes a table that is about to be made, unless it is there already.
CREATE OR REPLACE FUNCTION vantage_plan_table(p_table text, p_migration text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF to_regclass(format('public.%I', p_table)) IS NULL THEN
        PERFORM vantage_note('table', p_table, p_migration);
    END IF;
END $$;

CREATE OR REPLACE FUNCTION vantage_made_table(p_table text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT EXISTS (SELECT 1 FROM vantage_schema_objects WHERE kind = 'table' AND name = p_table)
$$;

-- Columns, each as 'name type ...'. One that is there stays as it is, whatever its type.
CREATE OR REPLACE FUNCTION vantage_ensure_columns(p_table text, p_migration text, VARIADIC p_columns text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    told text;
    named text;
BEGIN
    FOREACH told IN ARRAY p_columns LOOP
        named := split_part(told, ' ', 1);
        CONTINUE WHEN EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = format('public.%I', p_table)::regclass
                              AND attname = named AND NOT attisdropped);
        EXECUTE format('ALTER TABLE public.%I ADD COLUMN %I %s', p_table, named, substr(told, length(named) + 2));
        PERFORM vantage_note('column', p_table || '.' || named, p_migration);
    END LOOP;
END $$;

-- A synced table with its bookkeeping columns; one that is there already only gains what it lacks.
CREATE OR REPLACE FUNCTION vantage_ensure_table(p_table text, p_migration text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF to_regclass(format('public.%I', p_table)) IS NULL THEN
        EXECUTE format('CREATE TABLE public.%I (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)', p_table);
        PERFORM vantage_note('table', p_table, p_migration);
        PERFORM vantage_close_table(p_table);
    END IF;
    PERFORM vantage_ensure_columns(p_table, p_migration,
        'id bigint GENERATED ALWAYS AS IDENTITY UNIQUE',
        'created_at timestamptz NOT NULL DEFAULT now()',
        'updated_at timestamptz NOT NULL DEFAULT now()',
        'last_synced_at timestamptz',
        'deleted_at timestamptz',
        'extra jsonb');
END $$;

-- An index, unless the column has one that begins with it.
CREATE OR REPLACE FUNCTION vantage_ensure_index(p_table text, p_column text, p_migration text, p_method text DEFAULT 'btree')
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE named text := 'idx_' || p_table || '_' || p_column;
BEGIN
    IF to_regclass(format('public.%I', named)) IS NOT NULL OR EXISTS (
        SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
        WHERE i.indrelid = format('public.%I', p_table)::regclass AND a.attname = p_column AND m.amname = p_method
          AND i.indisvalid AND i.indpred IS NULL) THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE INDEX %I ON public.%I USING %s (%I)', named, p_table, p_method, p_column);
    PERFORM vantage_note('index', named, p_migration);
EXCEPTION WHEN undefined_object THEN
    RAISE NOTICE '%.% has a type that a % index does not take, so it has none', p_table, p_column, p_method;
END $$;

-- The unique key of a table. Doubles are named, and nothing is changed. With p_exact the constraint must have that
-- very name; otherwise uniqueness under any name will do.
CREATE OR REPLACE FUNCTION vantage_ensure_key(
    p_table text, p_columns text[], p_constraint text, p_migration text, p_exact boolean DEFAULT false
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    target regclass := format('public.%I', p_table)::regclass;
    numbers int2[] := (SELECT array_agg(a.attnum ORDER BY a.attnum) FROM pg_attribute a
                       WHERE a.attrelid = format('public.%I', p_table)::regclass AND a.attname = ANY (p_columns));
    listed text := (SELECT string_agg(quote_ident(c), ', ') FROM unnest(p_columns) c);
    doubles text;
    found record;
BEGIN
    FOR found IN SELECT c.relname, con.conname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                 LEFT JOIN pg_constraint con ON con.conindid = i.indexrelid AND con.contype IN ('p', 'u')
                 WHERE i.indrelid = target AND i.indisunique AND i.indisvalid AND i.indimmediate
                   AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnkeyatts = i.indnatts
                   AND (SELECT array_agg(k ORDER BY k) FROM unnest(i.indkey::int2[]) k) = numbers LOOP
        IF NOT p_exact OR found.conname = p_constraint THEN
            RETURN;
        END IF;
        IF found.relname = p_constraint THEN
            EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I UNIQUE USING INDEX %I', target, p_constraint, p_constraint);
            RETURN;
        END IF;
    END LOOP;
    EXECUTE format(
        'SELECT string_agg(k, '', '') FROM (SELECT concat_ws('':'', %1$s) || '' ('' || count(*) || '' rows)'' AS k'
        ' FROM %2$s WHERE (%1$s) IS NOT NULL GROUP BY %1$s HAVING count(*) > 1 ORDER BY 1 LIMIT 10) d', listed, target)
        INTO doubles;
    IF doubles IS NOT NULL THEN
        RAISE EXCEPTION '%.% is the key of the table and holds doubles: %. Nothing was changed. Keep one row of each '
            '(or give the others another key) and run the migration again.', p_table, listed, doubles
            USING ERRCODE = 'unique_violation';
    END IF;
    EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I UNIQUE (%s)', target, p_constraint, listed);
    PERFORM vantage_note('constraint', p_table || '.' || p_constraint, p_migration);
END $$;

-- A foreign key with its index; NOT VALID where rows break it, left out with a notice where the types do not meet.
CREATE OR REPLACE FUNCTION vantage_ensure_link(
    p_table text, p_column text, p_parent text, p_parent_column text, p_migration text
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    named text := p_table || '_' || p_column || '_fkey';
    broken boolean;
BEGIN
    PERFORM vantage_ensure_index(p_table, p_column, p_migration);
    IF EXISTS (SELECT 1 FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND c.conkey = ARRAY[a.attnum]
               WHERE c.conrelid = format('public.%I', p_table)::regclass AND c.contype = 'f' AND a.attname = p_column) THEN
        RETURN;
    END IF;
    BEGIN
        EXECUTE format('ALTER TABLE public.%I ADD CONSTRAINT %I FOREIGN KEY (%I) REFERENCES public.%I (%I) NOT VALID',
                       p_table, named, p_column, p_parent, p_parent_column);
    EXCEPTION WHEN datatype_mismatch OR undefined_function OR invalid_foreign_key THEN
        RAISE NOTICE 'no foreign key from %.% to %.%: %', p_table, p_column, p_parent, p_parent_column, SQLERRM;
        RETURN;
    END;
    PERFORM vantage_note('constraint', p_table || '.' || named, p_migration);
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM public.%1$I c WHERE c.%2$I IS NOT NULL AND NOT EXISTS '
                   '(SELECT 1 FROM public.%3$I p WHERE p.%4$I = c.%2$I))', p_table, p_column, p_parent, p_parent_column)
        INTO broken;
    IF broken THEN
        RAISE NOTICE 'rows of % break the foreign key %: it holds for new rows only until they are mended', p_table, named;
    ELSE
        EXECUTE format('ALTER TABLE public.%I VALIDATE CONSTRAINT %I', p_table, named);
    END IF;
END $$;

-- Undoes what a migration made, last first, and leaves the rest. Nothing is dropped by CASCADE: what depends on it
-- from outside is named by the error instead.
CREATE OR REPLACE FUNCTION vantage_drop_made(p_migration text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    made record;
    owner text;
    part text;
BEGIN
    FOR made IN
        SELECT kind, name, definition FROM vantage_schema_objects WHERE created_by_migration = p_migration
        ORDER BY array_position(ARRAY['policy', 'trigger', 'constraint', 'index', 'function', 'column', 'table', 'type'], kind),
                 name LIKE '%\_fkey' DESC -- unique keys go after the foreign keys that need them
    LOOP
        owner := split_part(made.name, '.', 1);
        part := substr(made.name, length(owner) + 2);
        CASE made.kind
            WHEN 'policy' THEN EXECUTE format('DROP POLICY IF EXISTS %I ON public.%I', part, owner);
            WHEN 'trigger' THEN EXECUTE format('DROP TRIGGER IF EXISTS %I ON public.%I', part, owner);
            WHEN 'constraint' THEN EXECUTE format('ALTER TABLE IF EXISTS public.%I DROP CONSTRAINT IF EXISTS %I', owner, part);
            WHEN 'index' THEN EXECUTE format('DROP INDEX IF EXISTS public.%I', made.name);
            WHEN 'column' THEN
                IF NOT EXISTS (SELECT 1 FROM vantage_schema_objects
                               WHERE kind = 'table' AND name = owner AND created_by_migration = p_migration) THEN
                    EXECUTE format('ALTER TABLE IF EXISTS public.%I DROP COLUMN IF EXISTS %I', owner, part);
                END IF;
            WHEN 'table' THEN EXECUTE format('DROP TABLE IF EXISTS public.%I', made.name);
            WHEN 'function' THEN
                -- a trigger that was there before still calls it; the earlier body is put back below
                IF NOT EXISTS (SELECT 1 FROM pg_trigger WHERE tgfoid = to_regprocedure(made.name)) THEN
                    EXECUTE format('DROP FUNCTION IF EXISTS %s', made.name);
                END IF;
            WHEN 'type' THEN EXECUTE format('DROP TYPE IF EXISTS public.%I', made.name);
            WHEN 'replaced function' THEN
                EXECUTE made.definition;
                PERFORM vantage_close('FUNCTION ' || made.name);
                EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO service_role', made.name);
            ELSE
                BEGIN
                    EXECUTE made.definition;
                EXCEPTION WHEN unique_violation THEN
                    RAISE NOTICE 'the rows no longer allow % %, so it was not put back', made.kind, made.name;
                END;
        END CASE;
    END LOOP;
    DELETE FROM vantage_schema_objects WHERE created_by_migration = p_migration;
END $$;

DO $$
DECLARE helper regprocedure;
BEGIN
    FOR helper IN SELECT oid FROM pg_proc WHERE pronamespace = 'public'::regnamespace
                  AND proname ~ '^vantage_(close|note|plan|made|ensure|drop_made)' LOOP
        PERFORM vantage_close('FUNCTION ' || helper::text);
    END LOOP;
END $$;

DO $$
BEGIN
    IF to_regtype('investor_source_kind') IS NULL THEN
        CREATE TYPE investor_source_kind AS ENUM ('DISTRIBUTOR');
        PERFORM vantage_note('type', 'investor_source_kind', '20251101000000_base_tables');
    END IF;
    IF to_regclass('public.investors') IS NULL THEN
        PERFORM vantage_ensure_table('investors', '20251101000000_base_tables');
        ALTER TABLE investors ADD COLUMN name text NOT NULL CONSTRAINT investors_name_key UNIQUE,
            ADD COLUMN source_kind investor_source_kind NOT NULL DEFAULT 'DISTRIBUTOR';
    END IF;
    IF to_regclass('public.deals') IS NULL THEN
        PERFORM vantage_ensure_table('deals', '20251101000000_base_tables');
        ALTER TABLE deals ADD COLUMN name text NOT NULL;
    END IF;
END $$;

DO $$
DECLARE m CONSTANT text := '20251101000000_base_tables';
BEGIN
    PERFORM vantage_ensure_table('investors', m);
    PERFORM vantage_ensure_columns('investors', m,
        'external_id text', 'name text', 'source_kind investor_source_kind', 'email text', 'phone text', 'address text',
        'country text', 'tax_id text', 'currency text', 'investor_type text', 'is_gp boolean', 'is_active boolean',
        'source_updated_at timestamptz',
        'introduced_by text', 'introduced_by_party_id bigint', 'merged_into_id bigint', 'notes text');
    PERFORM vantage_ensure_index('investors', 'source_updated_at', m);

    PERFORM vantage_ensure_table('deals', m);
    PERFORM vantage_ensure_columns('deals', m,
        'external_id text', 'name text', 'code text', 'status text', 'inception_date date', 'close_date date',
        'currency text', 'fund_type text', 'strategy text', 'sector text', 'region text', 'address text', 'country text',
        'year_built integer', 'units integer', 'sqft numeric', 'fund_size numeric', 'source_updated_at timestamptz',
        'fund_id bigint', 'partner_company_id bigint', 'fund_group_id bigint', 'income_producing boolean',
        'exclude_gp_from_commission boolean', 'equity_to_raise numeric', 'raised_so_far numeric');
    PERFORM vantage_ensure_key('deals', ARRAY['external_id'], 'deals_external_id_unique', m);
    PERFORM vantage_ensure_index('deals', 'source_updated_at', m);
END $$;
