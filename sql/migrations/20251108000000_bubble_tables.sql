-- The Bubble tables: mapped columns first, then those that only the database has.

DO $$ BEGIN PERFORM vantage_ensure_table('agent', '20251108000000_bubble_tables'); END $$;
DO $$ BEGIN PERFORM vantage_ensure_column('agent', c[1], c[2], '20251108000000_bubble_tables') FROM (VALUES
    (ARRAY['bubble_id', 'text']),
    (ARRAY['name', 'text']),
    (ARRAY['slug', 'text']),
    (ARRAY['contact', 'text']),
    (ARRAY['agent_type', 'text']),
    (ARRAY['commission', 'integer']),
    (ARRAY['tree_seed', 'text']),
    (ARRAY['created_date', 'timestamptz']),
    (ARRAY['modified_date', 'timestamptz']),
    (ARRAY['linked_user_login', 'text']),
    (ARRAY['last_update_annual_sales', 'timestamptz']),
    (ARRAY['current_annual_sales', 'numeric']),
    (ARRAY['annual_collection', 'numeric']),
    (ARRAY['intro_youtube', 'text']),
    (ARRAY['email', 'text']),
    (ARRAY['address', 'text']),
    (ARRAY['bankin_account', 'text']),
    (ARRAY['banker', 'text']),
    (ARRAY['ic_front', 'text']),
    (ARRAY['ic_back', 'text'])) v(c); END $$;

DO $$ BEGIN PERFORM vantage_ensure_table('customer', '20251108000000_bubble_tables'); END $$;
DO $$ BEGIN PERFORM vantage_ensure_column('customer', c[1], c[2], '20251108000000_bubble_tables') FROM (VALUES
    (ARRAY['customer_id', 'text']),
    (ARRAY['name', 'text']),
    (ARRAY['address', 'text']),
    (ARRAY['state', 'text']),
    (ARRAY['phone', 'text']),
    (ARRAY['whatsapp', 'text']),
    (ARRAY['status', 'text']),
    (ARRAY['linked_agent', 'text']),
    (ARRAY['created_by', 'text']),
    (ARRAY['created_date', 'timestamptz']),
    (ARRAY['modified_date', 'timestamptz']),
    (ARRAY['email', 'text']),
    (ARRAY['city', 'text']),
    (ARRAY['postcode', 'text']),
    (ARRAY['ic_number', 'text']),
    (ARRAY['linked_seda_registration', 'text']),
    (ARRAY['linked_old_customer', 'text']),
    (ARRAY['notes', 'text']),
    (ARRAY['version', 'integer']),
    (ARRAY['updated_by', 'text'])) v(c); END $$;

DO $$ BEGIN PERFORM vantage_ensure_table('user', '20251108000000_bubble_tables'); END $$;
DO $$ BEGIN PERFORM vantage_ensure_column('user', c[1], c[2], '20251108000000_bubble_tables') FROM (VALUES
    (ARRAY['bubble_id', 'text']),
    (ARRAY['authentication', 'jsonb']),
    (ARRAY['user_signed_up', 'boolean']),
    (ARRAY['dealership', 'text']),
    (ARRAY['profile_picture', 'text']),
    (ARRAY['access_level', 'text[]']),
    (ARRAY['linked_agent_profile', 'text']),
    (ARRAY['check_in_report_today', 'text']),
    (ARRAY['agent_code', 'text']),
    (ARRAY['created_date', 'timestamptz']),
    (ARRAY['modified_date', 'timestamptz']),
    (ARRAY['email', 'text'])) v(c); END $$;

DO $$ BEGIN PERFORM vantage_ensure_table('invoice', '20251108000000_bubble_tables'); END $$;
DO $$ BEGIN PERFORM vantage_ensure_column('invoice', c[1], c[2], '20251108000000_bubble_tables') FROM (VALUES
    (ARRAY['bubble_id', 'text']),
    (ARRAY['invoice_id', 'integer']),
    (ARRAY['invoice_number', 'text']),
    (ARRAY['amount', 'numeric']),
    (ARRAY['total_amount', 'numeric']),
    (ARRAY['1st_payment', 'numeric']),
    (ARRAY['1st_payment_date', 'timestamptz']),
    (ARRAY['2nd_payment', 'numeric']),
    (ARRAY['amount_eligible_for_comm', 'numeric']),
    (ARRAY['full_payment_date', 'timestamptz']),
    (ARRAY['last_payment_date', 'timestamptz']),
    (ARRAY['linked_customer', 'text']),
    (ARRAY['linked_agent', 'text']),
    (ARRAY['linked_payment', 'text[]']),
    (ARRAY['linked_seda_registration', 'text']),
    (ARRAY['linked_invoice_item', 'text[]']),
    (ARRAY['created_by', 'text']),
    (ARRAY['linked_package', 'text']),
    (ARRAY['linked_agreement', 'text']),
    (ARRAY['linked_stock_transaction', 'text[]']),
    (ARRAY['invoice_date', 'timestamptz']),
    (ARRAY['created_date', 'timestamptz']),
    (ARRAY['modified_date', 'timestamptz']),
    (ARRAY['status', 'text']),
    (ARRAY['type', 'text']),
    (ARRAY['version', 'integer']),
    (ARRAY['approval_status', 'text']),
    (ARRAY['stock_status_inv', 'text']),
    (ARRAY['paid', 'boolean']),
    (ARRAY['need_approval', 'boolean']),
    (ARRAY['locked_package', 'boolean']),
    (ARRAY['commission_paid', 'boolean']),
    (ARRAY['percent_of_total_amount', 'numeric']),
    (ARRAY['normal_commission', 'numeric']),
    (ARRAY['performance_tier_month', 'integer']),
    (ARRAY['performance_tier_year', 'integer']),
    (ARRAY['panel_qty', 'integer']),
    (ARRAY['stamp_cash_price', 'numeric']),
    (ARRAY['dealercode', 'text']),
    (ARRAY['logs', 'text']),
    (ARRAY['eligible_amount_description', 'text']),
    (ARRAY['visit', 'integer']),
    (ARRAY['is_latest', 'boolean']),
    (ARRAY['root_id', 'text']),
    (ARRAY['parent_id', 'text']),
    (ARRAY['share_token', 'text']),
    (ARRAY['share_expires_at', 'timestamptz']),
    (ARRAY['share_enabled', 'boolean']),
    (ARRAY['share_access_count', 'integer']),
    (ARRAY['customer_name_snapshot', 'text']),
    (ARRAY['customer_email_snapshot', 'text']),
    (ARRAY['customer_phone_snapshot', 'text']),
    (ARRAY['customer_address_snapshot', 'text']),
    (ARRAY['package_name_snapshot', 'text']),
    (ARRAY['paid_amount', 'numeric']),
    (ARRAY['balance_due', 'numeric']),
    (ARRAY['paid_at', 'timestamptz']),
    (ARRAY['discount_percent', 'numeric']),
    (ARRAY['discount_fixed', 'numeric']),
    (ARRAY['voucher_code', 'text']),
    (ARRAY['sent_at', 'timestamptz']),
    (ARRAY['viewed_at', 'timestamptz']),
    (ARRAY['agent_markup', 'numeric']),
    (ARRAY['migration_status', 'text']),
    (ARRAY['linked_old_invoice', 'text']),
    (ARRAY['internal_notes', 'text']),
    (ARRAY['customer_notes', 'text']),
    (ARRAY['case_status', 'text']),
    (ARRAY['template_id', 'text'])) v(c); END $$;

DO $$ BEGIN PERFORM vantage_ensure_table('payment', '20251108000000_bubble_tables'); END $$;
DO $$ BEGIN PERFORM vantage_ensure_column('payment', c[1], c[2], '20251108000000_bubble_tables') FROM (VALUES
    (ARRAY['bubble_id', 'text']),
    (ARRAY['amount', 'numeric']),
    (ARRAY['payment_date', 'timestamptz']),
    (ARRAY['payment_method', 'text']),
    (ARRAY['payment_method_v2', 'text']),
    (ARRAY['remark', 'text']),
    (ARRAY['issuer_bank', 'text']),
    (ARRAY['epp_month', 'numeric']),
    (ARRAY['epp_type', 'text']),
    (ARRAY['attachment', 'text[]']),
    (ARRAY['linked_agent', 'text']),
    (ARRAY['linked_customer', 'text']),
    (ARRAY['linked_invoice', 'text']),
    (ARRAY['created_by', 'text']),
    (ARRAY['created_date', 'timestamptz']),
    (ARRAY['modified_date', 'timestamptz']),
    (ARRAY['payment_index', 'numeric']),
    (ARRAY['bank_charges', 'numeric']),
    (ARRAY['terminal', 'text']),
    (ARRAY['verified_by', 'text']),
    (ARRAY['edit_history', 'text']),
    (ARRAY['log', 'text']),
    (ARRAY['epp_cost', 'numeric'])) v(c); END $$;

DO $$ BEGIN PERFORM vantage_ensure_table('submitted_payment', '20251108000000_bubble_tables'); END $$;
DO $$ BEGIN PERFORM vantage_ensure_column('submitted_payment', c[1], c[2], '20251108000000_bubble_tables') FROM (VALUES
    (ARRAY['bubble_id', 'text']),
    (ARRAY['amount', 'numeric']),
    (ARRAY['payment_date', 'timestamptz']),
    (ARRAY['payment_method', 'text']),
    (ARRAY['payment_method_v2', 'text']),
    (ARRAY['remark', 'text']),
    (ARRAY['issuer_bank', 'text']),
    (ARRAY['epp_month', 'numeric']),
    (ARRAY['epp_type', 'text']),
    (ARRAY['attachment', 'text[]']),
    (ARRAY['linked_agent', 'text']),
    (ARRAY['linked_customer', 'text']),
    (ARRAY['linked_invoice', 'text']),
    (ARRAY['created_by', 'text']),
    (ARRAY['created_date', 'timestamptz']),
    (ARRAY['modified_date', 'timestamptz']),
    (ARRAY['terminal', 'text']),
    (ARRAY['status', 'text']),
    (ARRAY['linked_installment', 'text']),
    (ARRAY['payment_index', 'numeric']),
    (ARRAY['bank_charges', 'numeric']),
    (ARRAY['verified_by', 'text']),
    (ARRAY['edit_history', 'text']),
    (ARRAY['log', 'text']),
    (ARRAY['epp_cost', 'numeric']),
    (ARRAY['became_payment', 'text'])) v(c); END $$;

DO $$ BEGIN PERFORM vantage_ensure_table('invoice_item', '20251108000000_bubble_tables'); END $$;
DO $$ BEGIN PERFORM vantage_ensure_column('invoice_item', c[1], c[2], '20251108000000_bubble_tables') FROM (VALUES
    (ARRAY['bubble_id', 'text']),
    (ARRAY['description', 'text']),
    (ARRAY['qty', 'numeric']),
    (ARRAY['amount', 'numeric']),
    (ARRAY['unit_price', 'numeric']),
    (ARRAY['is_a_package', 'boolean']),
    (ARRAY['linked_invoice', 'text']),
    (ARRAY['created_by', 'text']),
    (ARRAY['created_date', 'timestamptz']),
    (ARRAY['modified_date', 'timestamptz']),
    (ARRAY['inv_item_type', 'text']),
    (ARRAY['linked_package', 'text']),
    (ARRAY['epp', 'numeric']),
    (ARRAY['sort', 'numeric']),
    (ARRAY['linked_voucher', 'text']),
    (ARRAY['voucher_remark', 'text'])) v(c); END $$;

DO $$ BEGIN PERFORM vantage_ensure_table('seda_registration', '20251108000000_bubble_tables'); END $$;
DO $$ BEGIN PERFORM vantage_ensure_column('seda_registration', c[1], c[2], '20251108000000_bubble_tables') FROM (VALUES
    (ARRAY['bubble_id', 'text']),
    (ARRAY['city', 'text']),
    (ARRAY['state', 'text']),
    (ARRAY['agent', 'text']),
    (ARRAY['linked_customer', 'text']),
    (ARRAY['created_by', 'text']),
    (ARRAY['created_date', 'timestamptz']),
    (ARRAY['modified_date', 'timestamptz']),
    (ARRAY['project_price', 'numeric']),
    (ARRAY['system_size', 'numeric']),
    (ARRAY['system_size_in_form_kwp', 'numeric']),
    (ARRAY['reg_status', 'text']),
    (ARRAY['redex_status', 'text']),
    (ARRAY['redex_remark', 'text']),
    (ARRAY['roof_images', 'text[]']),
    (ARRAY['site_images', 'text[]']),
    (ARRAY['drawing_system_submitted', 'text']),
    (ARRAY['sunpeak_hours', 'numeric']),
    (ARRAY['customer_signature', 'text']),
    (ARRAY['ic_copy_front', 'text']),
    (ARRAY['ic_copy_back', 'text']),
    (ARRAY['tnb_bill_1', 'text']),
    (ARRAY['tnb_bill_2', 'text']),
    (ARRAY['tnb_bill_3', 'text']),
    (ARRAY['nem_cert', 'text']),
    (ARRAY['mykad_pdf', 'text']),
    (ARRAY['property_ownership_prove', 'text']),
    (ARRAY['drawing_pdf_system', 'text[]']),
    (ARRAY['drawing_system_actual', 'text[]']),
    (ARRAY['drawing_engineering_seda_pdf', 'text[]']),
    (ARRAY['inverter_kwac', 'numeric']),
    (ARRAY['estimated_monthly_saving', 'numeric']),
    (ARRAY['average_tnb', 'numeric']),
    (ARRAY['nem_application_no', 'text']),
    (ARRAY['nem_type', 'text']),
    (ARRAY['phase_type', 'text']),
    (ARRAY['tnb_account_no', 'text']),
    (ARRAY['tnb_meter', 'text']),
    (ARRAY['tnb_meter_status', 'text']),
    (ARRAY['tnb_meter_install_date', 'timestamptz']),
    (ARRAY['first_completion_date', 'timestamptz']),
    (ARRAY['inverter_serial_no', 'text']),
    (ARRAY['special_remark', 'text']),
    (ARRAY['email', 'text']),
    (ARRAY['ic_no', 'text']),
    (ARRAY['e_contact_name', 'text']),
    (ARRAY['e_contact_no', 'text']),
    (ARRAY['e_contact_relationship', 'text']),
    (ARRAY['e_contact_mykad', 'text']),
    (ARRAY['e_email', 'text']),
    (ARRAY['g_electric_folder_link', 'text']),
    (ARRAY['g_roof_folder_link', 'text']),
    (ARRAY['installation_address', 'text']),
    (ARRAY['price_category', 'text']),
    (ARRAY['linked_invoice', 'text[]']),
    (ARRAY['slug', 'text']),
    (ARRAY['request_drawing_date', 'timestamptz']),
    (ARRAY['seda_status', 'text']),
    (ARRAY['version', 'integer']),
    (ARRAY['postcode', 'text']),
    (ARRAY['company_registration_no', 'text']),
    (ARRAY['check_tnb_bill_and_meter_image', 'text']),
    (ARRAY['check_mykad', 'text']),
    (ARRAY['check_ownership', 'text']),
    (ARRAY['check_fill_in_detail', 'text']),
    (ARRAY['seda_profile_status', 'text']),
    (ARRAY['seda_profile_id', 'text']),
    (ARRAY['seda_profile_checked_at', 'timestamptz']),
    (ARRAY['installation_address_1', 'text']),
    (ARRAY['installation_address_2', 'text']),
    (ARRAY['latitude', 'numeric']),
    (ARRAY['longitude', 'numeric'])) v(c); END $$;

DO $$ BEGIN PERFORM vantage_ensure_key('agent', 'bubble_id', 'agent_bubble_id_unique'); END $$;
CREATE INDEX IF NOT EXISTS idx_agent_modified_date ON "agent" (modified_date);

DO $$ BEGIN PERFORM vantage_ensure_key('customer', 'customer_id', 'customer_customer_id_unique'); END $$;
CREATE INDEX IF NOT EXISTS idx_customer_modified_date ON "customer" (modified_date);

DO $$ BEGIN PERFORM vantage_ensure_key('user', 'bubble_id', 'user_bubble_id_unique'); END $$;
CREATE INDEX IF NOT EXISTS idx_user_modified_date ON "user" (modified_date);

DO $$ BEGIN PERFORM vantage_ensure_key('invoice', 'bubble_id', 'invoice_bubble_id_unique'); END $$;
CREATE INDEX IF NOT EXISTS idx_invoice_modified_date ON "invoice" (modified_date);

DO $$ BEGIN PERFORM vantage_ensure_key('payment', 'bubble_id', 'payment_bubble_id_unique'); END $$;
CREATE INDEX IF NOT EXISTS idx_payment_modified_date ON "payment" (modified_date);

DO $$ BEGIN PERFORM vantage_ensure_key('submitted_payment', 'bubble_id', 'submitted_payment_bubble_id_unique'); END $$;
CREATE INDEX IF NOT EXISTS idx_submitted_payment_modified_date ON "submitted_payment" (modified_date);

DO $$ BEGIN PERFORM vantage_ensure_key('invoice_item', 'bubble_id', 'invoice_item_bubble_id_unique'); END $$;
CREATE INDEX IF NOT EXISTS idx_invoice_item_modified_date ON "invoice_item" (modified_date);

DO $$ BEGIN PERFORM vantage_ensure_key('seda_registration', 'bubble_id', 'seda_registration_bubble_id_unique'); END $$;
CREATE INDEX IF NOT EXISTS idx_seda_registration_modified_date ON "seda_registration" (modified_date);

DO $$ BEGIN PERFORM vantage_ensure_link('agent', 'linked_user_login', 'user', 'bubble_id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('customer', 'linked_agent', 'agent', 'bubble_id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('user', 'linked_agent_profile', 'agent', 'bubble_id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('invoice', 'linked_customer', 'customer', 'customer_id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('invoice', 'linked_agent', 'agent', 'bubble_id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('invoice', 'linked_seda_registration', 'seda_registration', 'bubble_id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('invoice', 'created_by', 'user', 'bubble_id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('payment', 'linked_agent', 'agent', 'bubble_id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('payment', 'linked_customer', 'customer', 'customer_id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('payment', 'linked_invoice', 'invoice', 'bubble_id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('payment', 'created_by', 'user', 'bubble_id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('submitted_payment', 'linked_agent', 'agent', 'bubble_id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('submitted_payment', 'linked_customer', 'customer', 'customer_id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('submitted_payment', 'linked_invoice', 'invoice', 'bubble_id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('submitted_payment', 'created_by', 'user', 'bubble_id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('invoice_item', 'linked_invoice', 'invoice', 'bubble_id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('invoice_item', 'created_by', 'user', 'bubble_id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('seda_registration', 'agent', 'agent', 'bubble_id'); END $$;

DO $$ BEGIN PERFORM vantage_ensure_link('seda_registration', 'linked_customer', 'customer', 'customer_id'); END $$;

DO $$
DECLARE listed record;
BEGIN
    FOR listed IN SELECT c.relname AS named, a.attname AS col FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
                  WHERE a.atttypid = 'text[]'::regtype AND (c.oid, a.attname) IN
                  (('invoice'::regclass, 'linked_payment'), ('invoice'::regclass, 'linked_invoice_item'),
                   ('seda_registration'::regclass, 'linked_invoice')) LOOP
        EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %I USING gin (%I)', 'idx_' || listed.named || '_' || listed.col, listed.named, listed.col);
    END LOOP;
END $$;

INSERT INTO vantage_sync_state (resource) SELECT 'bubble_' || r FROM unnest(ARRAY['agent', 'customer', 'user', 'invoice',
    'payment', 'submitted_payment', 'invoice_item', 'seda_registration', 'links']) r ON CONFLICT DO NOTHING;
INSERT INTO vantage_sync_expectation (resource) SELECT resource FROM vantage_sync_state ON CONFLICT DO NOTHING;
