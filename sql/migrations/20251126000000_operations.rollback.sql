DROP VIEW IF EXISTS sync_conditions;
DO $$ BEGIN PERFORM vantage_drop_made('20251126000000_operations'); END $$;
