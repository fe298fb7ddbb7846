DO $$ BEGIN PERFORM vantage_drop_made('20251106000000_vantage_tables'); END $$;
