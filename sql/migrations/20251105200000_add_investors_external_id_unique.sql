-- The key by which accounts are merged.
DO $$ BEGIN PERFORM vantage_ensure_key('investors', 'external_id', 'investors_external_id_unique'); END $$;
