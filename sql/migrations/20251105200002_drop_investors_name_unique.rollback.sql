-- Puts back what was dropped, unless the rows share names by now.
DO $$ BEGIN PERFORM vantage_drop_made('20251105200002_drop_investors_name_unique'); END $$;
