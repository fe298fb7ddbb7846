DROP VIEW IF EXISTS sync_health;
DO $$ BEGIN PERFORM vantage_drop_made('20251107000000_sync_records'); END $$;
