DO $$ BEGIN PERFORM vantage_drop_made('20251105200000_add_investors_external_id_unique'); END $$;
