-- When somebody last looked for what is wrong, for whoever watches the watcher.

DO $$ BEGIN PERFORM vantage_plan_table('vantage_last_look', '20251126010000_last_look'); END $$;
CREATE TABLE IF NOT EXISTS vantage_last_look (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    looked_at timestamptz NOT NULL
);
COMMENT ON TABLE vantage_last_look IS 'When the conditions were last compared with what people know: one row';
DO $$ BEGIN PERFORM vantage_close_table('vantage_last_look'); END $$;
