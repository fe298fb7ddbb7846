-- The change history by triggers: whatever a sync writes (rows, links filled in later, deletion marks, positions) is
-- recorded in one place, when the session says so by vantage_pipeline.change_history; and rows as they were at a time.

-- Records a row that came, changed, went or came back. Its arguments are the columns of the row's key.
CREATE OR REPLACE FUNCTION vantage_record_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    now_is jsonb := to_jsonb(NEW) - '{id,created_at,updated_at,last_synced_at}'::text[];
    was jsonb := CASE WHEN TG_OP = 'UPDATE' THEN to_jsonb(OLD) - '{id,created_at,updated_at,last_synced_at}'::text[] END;
    row_is text := (SELECT string_agg(now_is->>c, ':' ORDER BY n) FROM unnest(TG_ARGV::text[]) WITH ORDINALITY k(c, n));
    told record;
BEGIN
    SELECT jsonb_object_agg(v.key, coalesce(was->v.key, 'null')) AS old, jsonb_object_agg(v.key, v.value) AS new INTO told
    FROM jsonb_each(now_is) v WHERE coalesce(was->v.key, 'null') IS DISTINCT FROM v.value;
    IF row_is IS NOT NULL AND told.new IS NOT NULL THEN
        INSERT INTO vantage_change_history (table_name, row_key, changed_at, run_id, operation, old, new)
        VALUES (TG_TABLE_NAME, row_is, clock_timestamp(), coalesce(vantage_run_said()->>'run_id', ''),
                CASE WHEN TG_OP = 'INSERT' THEN 'created' WHEN NOT told.new ? 'deleted_at' THEN 'updated'
                     WHEN NEW.deleted_at IS NULL THEN 'restored' ELSE 'deleted' END,
                CASE WHEN TG_OP = 'UPDATE' THEN told.old END, told.new);
    END IF;
    RETURN NULL;
END $$;

-- Lets a table's changes be recorded. A table without a column of the key gains nothing.
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

-- The columns of a table's key, as its trigger has them.
CREATE OR REPLACE FUNCTION vantage_key_of(p_table text) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT array_remove(string_to_array(encode(tgargs, 'escape'), '\000'), '') FROM pg_trigger
    WHERE tgrelid = to_regclass(format('public.%I', p_table)) AND tgname = 'vantage_record_change'
$$;

-- A table's rows as they were at a time: those of now with later changes undone; those that were removed by hand since,
-- and maybe made anew, as their history up to then tells. Rows that came later, or were marked deleted by then, are left
-- out; rows that went later are there. Columns that only the database has are as they are now.
CREATE OR REPLACE FUNCTION vantage_as_of(p_table text, p_at timestamptz, p_key text DEFAULT NULL)
RETURNS TABLE (row_key text, columns jsonb)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    named text[] := vantage_key_of(p_table);
    key_is text := (SELECT string_agg(format('t.%I::text', c), ' || '':'' || ' ORDER BY n)
                    FROM unnest(named) WITH ORDINALITY k(c, n));
BEGIN
    IF named IS NULL THEN
        RAISE EXCEPTION 'no change history is kept of a table named %', p_table USING ERRCODE = 'undefined_table';
    END IF;
    RETURN QUERY EXECUTE format($query$
        WITH later AS (
            SELECT DISTINCT ON (h.row_key, v.key) h.row_key, v.key AS name, v.value, h.operation, h.id
            FROM vantage_change_history h
            CROSS JOIN LATERAL jsonb_each(coalesce(h.old, h.new)) v
            WHERE h.table_name = $1 AND h.changed_at > $2 AND ($3 IS NULL OR h.row_key = $3)
            ORDER BY h.row_key, v.key, h.id
        ), undone AS (
            SELECT l.row_key, jsonb_object_agg(l.name, l.value) AS old,
                   (array_agg(l.operation ORDER BY l.id))[1] = 'created' AS came_later
            FROM later l GROUP BY l.row_key
        ), there AS (
            SELECT %1$s AS row_key, to_jsonb(t) - '{id,created_at,updated_at,last_synced_at}'::text[] AS columns
            FROM public.%2$I t WHERE %1$s IS NOT NULL AND ($3 IS NULL OR %1$s = $3)
        ), stayed AS (
            SELECT n.row_key, n.columns || coalesce(u.old, '{}') AS columns
            FROM there n LEFT JOIN undone u ON u.row_key = n.row_key WHERE u.came_later IS NOT TRUE
        ), known AS (
            SELECT s.row_key, s.columns FROM stayed s
            UNION ALL
            SELECT e.row_key, jsonb_object_agg(e.name, e.value)
            FROM (SELECT DISTINCT ON (h.row_key, v.key) h.row_key, v.key AS name, v.value
                  FROM vantage_change_history h CROSS JOIN LATERAL jsonb_each(h.new) v
                  WHERE h.table_name = $1 AND h.changed_at <= $2 AND ($3 IS NULL OR h.row_key = $3)
                    AND NOT EXISTS (SELECT 1 FROM stayed s WHERE s.row_key = h.row_key)
                  ORDER BY h.row_key, v.key, h.id DESC) e
            GROUP BY e.row_key
        )
        SELECT k.row_key, k.columns - 'deleted_at' FROM known k
        WHERE coalesce(k.columns->'deleted_at', 'null') = 'null'
        ORDER BY k.row_key
    $query$, key_is, p_table) USING p_table, p_at, p_key;
END $$;

DO $$
DECLARE m CONSTANT text := '20251126000000_change_history';
BEGIN
    PERFORM vantage_keep_changes(t, m, 'external_id') FROM unnest(ARRAY[
        'investors', 'deals', 'transactions', 'commitments', 'contacts', 'account_contacts', 'valuations']) t;
    PERFORM vantage_keep_changes('investments', m, 'investor_id', 'deal_id');
    PERFORM vantage_keep_changes('customer', m, 'customer_id');
    PERFORM vantage_keep_changes(t, m, 'bubble_id') FROM unnest(ARRAY[
        'agent', 'user', 'invoice', 'payment', 'submitted_payment', 'invoice_item', 'seda_registration']) t;
    PERFORM vantage_note('function', f, m), vantage_close('FUNCTION ' || f) FROM unnest(ARRAY[
        'vantage_record_change()', 'vantage_keep_changes(text,text,text[])', 'vantage_key_of(text)',
        'vantage_as_of(text,timestamp with time zone,text)']) f;
END $$;
GRANT EXECUTE ON FUNCTION vantage_key_of(text), vantage_as_of(text, timestamptz, text) TO service_role;
