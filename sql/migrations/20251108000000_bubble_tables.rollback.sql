-- The state table may have been there before us; the rows of these resources were not.
DELETE FROM vantage_sync_state WHERE resource LIKE 'bubble\_%';
DELETE FROM vantage_sync_expectation WHERE resource LIKE 'bubble\_%';
DO $$ BEGIN PERFORM vantage_drop_made('20251108000000_bubble_tables'); END $$;
