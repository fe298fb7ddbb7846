-- The other Vantage tables. Links are bigint ids of the rows they point at.

DO $$
DECLARE m CONSTANT text := '20251106000000_vantage_tables';
BEGIN
    PERFORM vantage_ensure_table('transactions', m);
    PERFORM vantage_ensure_columns('transactions', m,
        'external_id text', 'investor_id bigint', 'deal_id bigint', 'transaction_date date', 'pay_date date',
        'amount numeric', 'amount_usd numeric', 'transaction_type text', 'transaction_subtype text', 'notes text',
        'source_updated_at timestamptz');

    PERFORM vantage_ensure_table('commitments', m);
    PERFORM vantage_ensure_columns('commitments', m,
        'external_id text', 'investor_id bigint', 'deal_id bigint', 'commitment_date date', 'amount numeric',
        'source_updated_at timestamptz');

    PERFORM vantage_ensure_table('contacts', m);
    PERFORM vantage_ensure_columns('contacts', m,
        'external_id text', 'full_name text', 'first_name text', 'last_name text', 'email text', 'phone text',
        'company_name text', 'contact_type text', 'preferred_language text', 'is_active boolean', 'addresses jsonb',
        'source_updated_at timestamptz');

    PERFORM vantage_ensure_table('account_contacts', m);
    PERFORM vantage_ensure_columns('account_contacts', m,
        'external_id text', 'contact_id bigint', 'investor_id bigint', 'deal_id bigint', 'is_primary boolean',
        'relationship text', 'source_updated_at timestamptz');

    PERFORM vantage_ensure_table('valuations', m);
    PERFORM vantage_ensure_columns('valuations', m,
        'external_id text', 'deal_id bigint', 'report_date date', 'report_frequency text', 'nav numeric',
        'currency text', 'source_updated_at timestamptz');

    PERFORM vantage_ensure_table('investments', m);
    PERFORM vantage_ensure_columns('investments', m,
        'investor_id bigint', 'deal_id bigint', 'committed numeric', 'contributed numeric', 'distributed numeric',
        'repurchased numeric', 'uncalled numeric', 'first_transaction_date date', 'last_transaction_date date',
        'latest_nav numeric', 'latest_nav_date date');

    PERFORM vantage_ensure_key('transactions', ARRAY['external_id'], 'transactions_external_id_unique', m);
    PERFORM vantage_ensure_index('transactions', 'source_updated_at', m);
    PERFORM vantage_ensure_key('commitments', ARRAY['external_id'], 'commitments_external_id_unique', m);
    PERFORM vantage_ensure_index('commitments', 'source_updated_at', m);
    PERFORM vantage_ensure_key('contacts', ARRAY['external_id'], 'contacts_external_id_unique', m);
    PERFORM vantage_ensure_index('contacts', 'source_updated_at', m);
    PERFORM vantage_ensure_key('account_contacts', ARRAY['external_id'], 'account_contacts_external_id_unique', m);
    PERFORM vantage_ensure_index('account_contacts', 'source_updated_at', m);
    PERFORM vantage_ensure_key('valuations', ARRAY['external_id'], 'valuations_external_id_unique', m);
    PERFORM vantage_ensure_index('valuations', 'source_updated_at', m);
    PERFORM vantage_ensure_key('investments', ARRAY['investor_id', 'deal_id'], 'investments_investor_deal_unique', m);
    PERFORM vantage_ensure_index('transactions', 'transaction_date', m);

    PERFORM vantage_ensure_link(child, link, parent, key, m) FROM (VALUES
        ('transactions', 'investor_id', 'investors', 'id'),
        ('transactions', 'deal_id', 'deals', 'id'),
        ('commitments', 'investor_id', 'investors', 'id'),
        ('commitments', 'deal_id', 'deals', 'id'),
        ('account_contacts', 'contact_id', 'contacts', 'id'),
        ('account_contacts', 'investor_id', 'investors', 'id'),
        ('account_contacts', 'deal_id', 'deals', 'id'),
        ('valuations', 'deal_id', 'deals', 'id'),
        ('investments', 'investor_id', 'investors', 'id'),
        ('investments', 'deal_id', 'deals', 'id')) v (child, link, parent, key);
END $$;
