DELETE FROM vantage_alert_messages WHERE edge = 'done';
ALTER TABLE vantage_alert_messages DROP CONSTRAINT IF EXISTS vantage_alert_messages_edge_check;
ALTER TABLE vantage_alert_messages
    ADD CONSTRAINT vantage_alert_messages_edge_check CHECK (edge IN ('began', 'ended'));
DO $$ BEGIN PERFORM vantage_drop_made('20251126070000_history_kept'); END $$;
