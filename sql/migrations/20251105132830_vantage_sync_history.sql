-- The history of the syncs: one row a run, resource and partition, in one partition a month.

DO $$
BEGIN
    PERFORM vantage_plan_table('vantage_sync_history', '20251105132830_vantage_sync_history');
END $$;
CREATE TABLE IF NOT EXISTS vantage_sync_history (
    id bigserial, -- an identity column of a partitioned table needs PostgreSQL 17
    run_id text NOT NULL,
    resource text NOT NULL,
    partition_key text NOT NULL DEFAULT '',
    status text NOT NULL CHECK (status IN ('running', 'success', 'failed', 'cancelled')),
    started_at timestamptz NOT NULL,
    completed_at timestamptz,
    duration_ms bigint,
    records_synced int NOT NULL DEFAULT 0,
    records_created int NOT NULL DEFAULT 0,
    records_updated int NOT NULL DEFAULT 0,
    records_unchanged int NOT NULL DEFAULT 0,
    records_quarantined int NOT NULL DEFAULT 0,
    records_deleted int NOT NULL DEFAULT 0,
    records_cleared_held int NOT NULL DEFAULT 0,
    api_calls int NOT NULL DEFAULT 0,
    watermark_before timestamptz,
    watermark_after timestamptz,
    checkpoint jsonb,
    errors jsonb NOT NULL DEFAULT '[]',
    options jsonb NOT NULL DEFAULT '{}',
    triggered_by text NOT NULL DEFAULT '',
    PRIMARY KEY (id, started_at)
) PARTITION BY RANGE (started_at);
CREATE TABLE IF NOT EXISTS vantage_sync_history_default PARTITION OF vantage_sync_history DEFAULT;
CREATE INDEX IF NOT EXISTS idx_vantage_sync_history_run ON vantage_sync_history (run_id, resource);
CREATE INDEX IF NOT EXISTS idx_vantage_sync_history_resource ON vantage_sync_history (resource, started_at DESC);
COMMENT ON TABLE vantage_sync_history IS 'Each sync that ever began: one row a run, resource and partition';
DO $$
BEGIN
    PERFORM vantage_close_table(t) FROM unnest(ARRAY['vantage_sync_history', 'vantage_sync_history_default']) t;
END $$;

-- The month's partition. It is made a month ahead by whichever run comes first, so nothing is lost where another
-- session holds the table for longer than we care to wait: the next run tries again.
CREATE OR REPLACE FUNCTION vantage_history_partition(p_at timestamptz) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '500ms' AS $$
DECLARE
    month timestamp := date_trunc('month', p_at AT TIME ZONE 'UTC');
    named text := 'vantage_sync_history_' || to_char(month, 'YYYYMM');
    low timestamptz := month AT TIME ZONE 'UTC';
    high timestamptz := (month + interval '1 month') AT TIME ZONE 'UTC';
BEGIN
    IF to_regclass('public.' || named) IS NOT NULL
       OR EXISTS (SELECT 1 FROM vantage_sync_history_default WHERE started_at >= low AND started_at < high) THEN
        RETURN; -- rows of the month that are in the default partition already keep it there
    END IF;
    EXECUTE format('CREATE TABLE public.%I PARTITION OF public.vantage_sync_history FOR VALUES FROM (%L) TO (%L)',
                   named, low, high);
    PERFORM vantage_close_table(named);
EXCEPTION WHEN lock_not_available OR duplicate_table OR check_violation OR unique_violation THEN
    NULL;
END $$;

DO $$
DECLARE m CONSTANT text := '20251105132830_vantage_sync_history';
BEGIN
    PERFORM vantage_note('function', 'vantage_history_partition(timestamp with time zone)', m);
    PERFORM vantage_close('FUNCTION vantage_history_partition(timestamptz)');
    PERFORM vantage_history_partition(now());
    PERFORM vantage_history_partition(now() + interval '1 month');
END $$;
