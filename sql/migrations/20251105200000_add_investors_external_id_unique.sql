-- The key by which accounts are merged.
DO $$
BEGIN
    PERFORM vantage_ensure_key('investors', ARRAY['external_id'], 'investors_external_id_unique',
                              '20251105200000_add_investors_external_id_unique', true);
END $$;
