-- The other Vantage tables.

DO $$ BEGIN PERFORM vantage_ensure_table('transactions', '20251106000000_vantage_tables'); END $$;
DO $$ BEGIN PERFORM vantage_ensure_column('transactions', c[1], c[2], '20251106000000_vantage_tables') FROM (VALUES
    (ARRAY['external_id', 'text']),
    (ARRAY['investor_id', 'bigint']),
    (ARRAY['deal_id', 'bigint']),
    (ARRAY['transaction_date', 'date']),
    (ARRAY['pay_date', 'date']),
    (ARRAY['amount', 'numeric']),
    (ARRAY['amount_usd', 'numeric']),
    (ARRAY['transaction_type', 'text']),
    (ARRAY['transaction_subtype', 'text']),
    (ARRAY['notes', 'text']),
    (ARRAY['source_updated_at', 'timestamptz'])) v(c); END $$;

DO $$ BEGIN PERFORM vantage_ensure_table('commitments', '20251106000000_vantage_tables'); END $$;
DO $$ BEGIN PERFORM vantage_ensure_column('commitments', c[1], c[2], '20251106000000_vantage_tables') FROM (VALUES
    (ARRAY['external_id', 'text']),
    (ARRAY['investor_id', 'bigint']),
    (ARRAY['deal_id', 'bigint']),
    (ARRAY['commitment_date', 'date']),
    (ARRAY['amount', 'numeric']),
    (ARRAY['source_updated_at', 'timestamptz'])) v(c); END $$;

DO $$ BEGIN PERFORM vantage_ensure_table('contacts', '20251106000000_vantage_tables'); END $$;
DO $$ BEGIN PERFORM vantage_ensure_column('contacts', c[1], c[2], '20251106000000_vantage_tables') FROM (VALUES
    (ARRAY['external_id', 'text']),
    (ARRAY['full_name', 'text']),
    (ARRAY['first_name', 'text']),
    (ARRAY['last_name', 'text']),
    (ARRAY['email', 'text']),
    (ARRAY['phone', 'text']),
    (ARRAY['company_name', 'text']),
    (ARRAY['contact_type', 'text']),
    (ARRAY['preferred_language', 'text']),
    (ARRAY['is_active', 'boolean']),
    (ARRAY['addresses', 'jsonb']),
    (ARRAY['source_updated_at', 'timestamptz'])) v(c); END $$;

DO $$ BEGIN PERFORM vantage_ensure_table('account_contacts', '20251106000000_vantage_tables'); END $$;
DO $$ BEGIN PERFORM vantage_ensure_column('account_contacts', c[1], c[2], '20251106000000_vantage_tables') FROM (VALUES
    (ARRAY['external_id', 'text']),
    (ARRAY['contact_id', 'bigint']),
    (ARRAY['investor_id', 'bigint']),
    (ARRAY['deal_id', 'bigint']),
    (ARRAY['is_primary', 'boolean']),
    (ARRAY['relationship', 'text']),
    (ARRAY['source_updated_at', 'timestamptz'])) v(c); END $$;

DO $$ BEGIN PERFORM vantage_ensure_table('valuations', '20251106000000_vantage_tables'); END $$;
DO $$ BEGIN PERFORM vantage_ensure_column('valuations', c[1], c[2], '20251106000000_vantage_tables') FROM (VALUES
    (ARRAY['external_id', 'text']),
    (ARRAY['deal_id', 'bigint']),
    (ARRAY['report_date', 'date']),
    (ARRAY['report_frequency', 'text']),
    (ARRAY['nav', 'numeric']),
    (ARRAY['currency', 'text']),
    (ARRAY['source_updated_at', 'timestamptz'])) v(c); END $$;

DO $$ BEGIN PERFORM vantage_ensure_table('investments', '20251106000000_vantage_tables'); END $$;
DO $$ BEGIN PERFORM vantage_ensure_column('investments', c[1], c[2], '20251106000000_vantage_tables') FROM (VALUES
    (ARRAY['investor_id', 'bigint']),
    (ARRAY['deal_id', 'bigint']),
    (ARRAY['committed', 'numeric']),
    (ARRAY['contributed', 'numeric']),
    (ARRAY['distributed', 'numeric']),
    (ARRAY['repurchased', 'numeric']),
    (ARRAY['uncalled', 'numeric']),
    (ARRAY['first_transaction_date', 'date']),
    (ARRAY['last_transaction_date', 'date']),
    (ARRAY['latest_nav', 'numeric']),
    (ARRAY['latest_nav_date', 'date'])) v(c); END $$;

DO $$ BEGIN PERFORM vantage_ensure_key('transactions', 'external_id', 'transactions_external_id_unique'); END $$;
CREATE INDEX IF NOT EXISTS idx_transactions_source_updated_at ON transactions (source_updated_at);

DO $$ BEGIN PERFORM vantage_ensure_key('commitments', 'external_id', 'commitments_external_id_unique'); END $$;
CREATE INDEX IF NOT EXISTS idx_commitments_source_updated_at ON commitments (source_updated_at);

DO $$ BEGIN PERFORM vantage_ensure_key('contacts', 'external_id', 'contacts_external_id_unique'); END $$;
CREATE INDEX IF NOT EXISTS idx_contacts_source_updated_at ON contacts (source_updated_at);

DO $$ BEGIN PERFORM vantage_ensure_key('account_contacts', 'external_id', 'account_contacts_external_id_unique'); END $$;
CREATE INDEX IF NOT EXISTS idx_account_contacts_source_updated_at ON account_contacts (source_updated_at);

DO $$ BEGIN PERFORM vantage_ensure_key('valuations', 'external_id', 'valuations_external_id_unique'); END $$;
CREATE INDEX IF NOT EXISTS idx_valuations_source_updated_at ON valuations (source_updated_at);

ALTER TABLE investments DROP CONSTRAINT IF EXISTS investments_investor_deal_unique;
ALTER TABLE investments ADD CONSTRAINT investments_investor_deal_unique UNIQUE (investor_id, deal_id);
CREATE INDEX IF NOT EXISTS idx_transactions_transaction_date ON transactions (transaction_date);

DO $$ BEGIN PERFORM vantage_ensure_link('transactions', 'investor_id', 'investors', 'id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('transactions', 'deal_id', 'deals', 'id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('commitments', 'investor_id', 'investors', 'id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('commitments', 'deal_id', 'deals', 'id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('account_contacts', 'contact_id', 'contacts', 'id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('account_contacts', 'investor_id', 'investors', 'id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('account_contacts', 'deal_id', 'deals', 'id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('valuations', 'deal_id', 'deals', 'id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('investments', 'investor_id', 'investors', 'id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('investments', 'deal_id', 'deals', 'id'); END $$;
