-- How long the history is kept, where the settings say so, and messages about syncs that succeeded.

DO $$
BEGIN
    PERFORM vantage_ensure_columns('vantage_sync_history', '20251126070000_history_kept', 'told boolean NOT NULL DEFAULT false');
END $$;
COMMENT ON COLUMN vantage_sync_history.told IS 'Whether a message tells of its success, where that is wanted';
ALTER TABLE vantage_alert_messages DROP CONSTRAINT IF EXISTS vantage_alert_messages_edge_check;
ALTER TABLE vantage_alert_messages
    ADD CONSTRAINT vantage_alert_messages_edge_check CHECK (edge IN ('began', 'ended', 'done'));

-- Removes syncs that began more than so many days ago; gives how many. What tells how a resource is stays: its newest sync,
-- its newest whole one and its newest whole success. Partitions of months that are empty then are dropped; where another
-- session holds the table they stay until the next time.
CREATE OR REPLACE FUNCTION vantage_forget_history(p_days int) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '500ms' AS $$
DECLARE
    until CONSTANT timestamptz := now() - make_interval(days => p_days);
    part record;
    inhabited boolean;
    gone bigint;
BEGIN
    DELETE FROM vantage_sync_history h WHERE h.started_at < until AND h.status <> 'running'
        AND EXISTS (SELECT 1 FROM vantage_sync_history n WHERE n.resource = h.resource
                    AND (n.started_at, n.id) > (h.started_at, h.id))
        AND (h.partial OR EXISTS (SELECT 1 FROM vantage_sync_history n WHERE n.resource = h.resource AND NOT n.partial
                                  AND n.status <> 'running' AND (n.started_at, n.id) > (h.started_at, h.id)))
        AND (h.partial OR h.status <> 'success'
             OR EXISTS (SELECT 1 FROM vantage_sync_history n WHERE n.resource = h.resource AND NOT n.partial
                        AND n.status = 'success' AND (n.started_at, n.id) > (h.started_at, h.id)));
    GET DIAGNOSTICS gone = ROW_COUNT;
    FOR part IN SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                WHERE i.inhparent = 'public.vantage_sync_history'::regclass
                  AND c.relname ~ '^vantage_sync_history_[0-9]{6}$'
                  AND to_date(right(c.relname, 6), 'YYYYMM') + interval '1 month' < until LOOP
        BEGIN
            EXECUTE format('SELECT EXISTS (SELECT 1 FROM public.%I)', part.name) INTO inhabited;
            IF NOT inhabited THEN
                EXECUTE format('DROP TABLE public.%I', part.name);
            END IF;
        EXCEPTION WHEN lock_not_available THEN
            NULL;
        END;
    END LOOP;
    RETURN gone;
END $$;
DO $$
BEGIN
    PERFORM vantage_note('function', 'vantage_forget_history(integer)', '20251126070000_history_kept');
    PERFORM vantage_close('FUNCTION vantage_forget_history(int)');
END $$;
GRANT EXECUTE ON FUNCTION vantage_forget_history(int) TO service_role;
