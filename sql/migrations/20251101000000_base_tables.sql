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

CREATE TABLE IF NOT EXISTS vantage_schema_objects (
    kind text NOT NULL CHECK (kind IN ('table', 'column')),
    name text NOT NULL,
    migration text NOT NULL,
    PRIMARY KEY (kind, name)
);
COMMENT ON TABLE vantage_schema_objects IS 'What the migrations made, so that a rollback drops that and nothing else';

-- Closes a table to everyone but service_role.
CREATE OR REPLACE FUNCTION vantage_close_table(p_table text) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', p_table);
    EXECUTE format('REVOKE ALL ON %I FROM PUBLIC, authenticated', p_table);
    IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'anon') THEN
        EXECUTE format('REVOKE ALL ON %I FROM anon', p_table);
    END IF;
    EXECUTE format('GRANT ALL ON %I TO service_role', p_table);
    IF NOT EXISTS (SELECT 1 FROM pg_policies WHERE tablename = p_table AND policyname = p_table || '_service') THEN
        EXECUTE format('CREATE POLICY %I ON %I TO service_role USING (true) WITH CHECK (true)', p_table || '_service', p_table);
    END IF;
END $$;

-- A synced table with its bookkeeping columns; one that is there already only gains what it lacks.
CREATE OR REPLACE FUNCTION vantage_ensure_table(p_table text, p_migration text) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_catalog, pg_temp AS $$
BEGIN
    IF to_regclass(quote_ident(p_table)) IS NULL THEN
        EXECUTE format('CREATE TABLE %I (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)', p_table);
        INSERT INTO vantage_schema_objects VALUES ('table', p_table, p_migration) ON CONFLICT DO NOTHING;
        PERFORM vantage_close_table(p_table);
    END IF;
    PERFORM vantage_ensure_column(p_table, 'created_at', 'timestamptz NOT NULL DEFAULT now()', p_migration);
    PERFORM vantage_ensure_column(p_table, 'updated_at', 'timestamptz NOT NULL DEFAULT now()', p_migration);
    PERFORM vantage_ensure_column(p_table, 'last_synced_at', 'timestamptz', p_migration);
    PERFORM vantage_ensure_column(p_table, 'deleted_at', 'timestamptz', p_migration);
    PERFORM vantage_ensure_column(p_table, 'extra', 'jsonb', p_migration);
END $$;

CREATE OR REPLACE FUNCTION vantage_ensure_column(p_table text, p_column text, p_definition text, p_migration text)
RETURNS void LANGUAGE plpgsql SET search_path = public, pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass(quote_ident(p_table))
                   AND attname = p_column AND NOT attisdropped) THEN
        EXECUTE format('ALTER TABLE %I ADD COLUMN %I %s', p_table, p_column, p_definition);
        INSERT INTO vantage_schema_objects VALUES ('column', p_table || '.' || p_column, p_migration) ON CONFLICT DO NOTHING;
    END IF;
END $$;

-- The unique key of a table. Doubles are named, and nothing is changed.
CREATE OR REPLACE FUNCTION vantage_ensure_key(p_table text, p_column text, p_constraint text) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_catalog, pg_temp AS $$
DECLARE doubles text;
BEGIN
    IF EXISTS (SELECT 1 FROM pg_constraint WHERE conrelid = to_regclass(quote_ident(p_table)) AND conname = p_constraint) THEN
        RETURN;
    END IF;
    EXECUTE format(
        'SELECT string_agg(k, '', '') FROM (SELECT %1$I::text || '' ('' || count(*) || '' rows)'' AS k FROM %2$I '
        'WHERE %1$I IS NOT NULL GROUP BY %1$I HAVING count(*) > 1 ORDER BY 1 LIMIT 10) d', p_column, p_table) INTO doubles;
    IF doubles IS NOT NULL THEN
        RAISE EXCEPTION '%.% is the key of the table and holds doubles: %. Nothing was changed. Keep one row of each '
            '(or give the others another key) and run the migration again.', p_table, p_column, doubles;
    END IF;
    EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I UNIQUE (%I)', p_table, p_constraint, p_column);
END $$;

-- A foreign key; NOT VALID where rows break it, left out with a notice where the types do not meet.
CREATE OR REPLACE FUNCTION vantage_ensure_link(p_table text, p_column text, p_parent text, p_parent_column text)
RETURNS void LANGUAGE plpgsql SET search_path = public, pg_catalog, pg_temp AS $$
DECLARE
    named text := p_table || '_' || p_column || '_fkey';
    broken boolean;
BEGIN
    EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %I (%I)', 'idx_' || p_table || '_' || p_column, p_table, p_column);
    IF EXISTS (SELECT 1 FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND c.conkey = ARRAY[a.attnum]
               WHERE c.conrelid = to_regclass(quote_ident(p_table)) AND c.contype = 'f' AND a.attname = p_column) THEN
        RETURN;
    END IF;
    BEGIN
        EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I FOREIGN KEY (%I) REFERENCES %I (%I) NOT VALID',
                       p_table, named, p_column, p_parent, p_parent_column);
    EXCEPTION WHEN datatype_mismatch OR undefined_function THEN
        RAISE NOTICE '%.% and %.% have different types, so there is no foreign key between them', p_table, p_column, p_parent, p_parent_column;
        RETURN;
    END;
    EXECUTE format('SELECT EXISTS (SELECT 1 FROM %1$I c WHERE c.%2$I IS NOT NULL AND NOT EXISTS '
                   '(SELECT 1 FROM %3$I p WHERE p.%4$I = c.%2$I))', p_table, p_column, p_parent, p_parent_column) INTO broken;
    IF broken THEN
        RAISE NOTICE 'rows of % break the foreign key %: it holds for new rows only until they are mended', p_table, named;
    ELSE
        EXECUTE format('ALTER TABLE %I VALIDATE CONSTRAINT %I', p_table, named);
    END IF;
END $$;

-- Undoes what a migration made and leaves the rest.
CREATE OR REPLACE FUNCTION vantage_drop_made(p_migration text) RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_catalog, pg_temp AS $$
DECLARE made record;
BEGIN
    FOR made IN SELECT name FROM vantage_schema_objects WHERE migration = p_migration AND kind = 'table' LOOP
        EXECUTE format('DROP TABLE IF EXISTS %I CASCADE', made.name);
        DELETE FROM vantage_schema_objects WHERE name = made.name OR name LIKE made.name || '.%';
    END LOOP;
    FOR made IN SELECT name FROM vantage_schema_objects WHERE migration = p_migration AND kind = 'column' LOOP
        EXECUTE format('ALTER TABLE IF EXISTS %I DROP COLUMN IF EXISTS %I CASCADE', split_part(made.name, '.', 1), split_part(made.name, '.', 2));
    END LOOP;
    DELETE FROM vantage_schema_objects WHERE migration = p_migration;
END $$;

DO $$ BEGIN PERFORM vantage_close_table('vantage_schema_objects'); END $$;

DO $$
BEGIN
    IF to_regtype('investor_source_kind') IS NULL THEN
        CREATE TYPE investor_source_kind AS ENUM ('DISTRIBUTOR');
    END IF;
    IF to_regclass('investors') IS NULL THEN
        PERFORM vantage_ensure_table('investors', '20251101000000_base_tables');
        ALTER TABLE investors ADD COLUMN name text NOT NULL CONSTRAINT investors_name_key UNIQUE,
            ADD COLUMN source_kind investor_source_kind NOT NULL DEFAULT 'DISTRIBUTOR';
    END IF;
    IF to_regclass('deals') IS NULL THEN
        PERFORM vantage_ensure_table('deals', '20251101000000_base_tables');
        ALTER TABLE deals ADD COLUMN name text NOT NULL;
    END IF;
END $$;

DO $$ BEGIN PERFORM vantage_ensure_table(t, '20251101000000_base_tables') FROM unnest(ARRAY['investors', 'deals']) t; END $$;

DO $$ BEGIN PERFORM vantage_ensure_column('investors', c[1], c[2], '20251101000000_base_tables') FROM (VALUES
    (ARRAY['external_id', 'text']), (ARRAY['name', 'text']), (ARRAY['source_kind', 'investor_source_kind']),
    (ARRAY['email', 'text']), (ARRAY['phone', 'text']), (ARRAY['address', 'text']), (ARRAY['country', 'text']),
    (ARRAY['tax_id', 'text']), (ARRAY['currency', 'text']), (ARRAY['investor_type', 'text']), (ARRAY['is_gp', 'boolean']),
    (ARRAY['is_active', 'boolean']), (ARRAY['source_updated_at', 'timestamptz']), (ARRAY['introduced_by', 'text']),
    (ARRAY['introduced_by_party_id', 'bigint']), (ARRAY['merged_into_id', 'bigint']), (ARRAY['notes', 'text'])) v(c); END $$;

DO $$ BEGIN PERFORM vantage_ensure_column('deals', c[1], c[2], '20251101000000_base_tables') FROM (VALUES
    (ARRAY['external_id', 'text']), (ARRAY['name', 'text']), (ARRAY['code', 'text']), (ARRAY['status', 'text']),
    (ARRAY['inception_date', 'date']), (ARRAY['close_date', 'date']), (ARRAY['currency', 'text']), (ARRAY['fund_type', 'text']),
    (ARRAY['strategy', 'text']), (ARRAY['sector', 'text']), (ARRAY['region', 'text']), (ARRAY['address', 'text']),
    (ARRAY['country', 'text']), (ARRAY['year_built', 'integer']), (ARRAY['units', 'integer']), (ARRAY['sqft', 'numeric']),
    (ARRAY['fund_size', 'numeric']), (ARRAY['source_updated_at', 'timestamptz']), (ARRAY['fund_id', 'bigint']),
    (ARRAY['partner_company_id', 'bigint']), (ARRAY['fund_group_id', 'bigint']), (ARRAY['income_producing', 'boolean']),
    (ARRAY['exclude_gp_from_commission', 'boolean']), (ARRAY['equity_to_raise', 'numeric']), (ARRAY['raised_so_far', 'numeric'])) v(c); END $$;

DO $$ BEGIN PERFORM vantage_ensure_key('deals', 'external_id', 'deals_external_id_unique'); END $$;

CREATE INDEX IF NOT EXISTS idx_investors_source_updated_at ON investors (source_updated_at);
CREATE INDEX IF NOT EXISTS idx_deals_source_updated_at ON deals (source_updated_at);
