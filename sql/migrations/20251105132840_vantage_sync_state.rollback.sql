-- A state table that was there before stays, with its rows and its own functions.
DO $$ BEGIN PERFORM vantage_drop_made('20251105132840_vantage_sync_state'); END $$;
