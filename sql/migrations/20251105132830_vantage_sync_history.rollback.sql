DO $$ BEGIN PERFORM vantage_drop_made('20251105132830_vantage_sync_history'); END $$;
