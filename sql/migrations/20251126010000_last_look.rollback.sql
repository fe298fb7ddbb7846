DO $$ BEGIN PERFORM vantage_drop_made('20251126010000_last_look'); END $$;
