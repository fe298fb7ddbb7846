DO $$ BEGIN PERFORM vantage_drop_made('20251126000000_change_history'); END $$;
