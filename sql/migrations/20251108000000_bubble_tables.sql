-- The Bubble tables: mapped columns first, then those that only the database has. They point at each other by the
-- keys of the source; a list of keys has no foreign key.

DO $$
DECLARE m CONSTANT text := '20251108000000_bubble_tables';
BEGIN
    PERFORM vantage_ensure_table('agent', m);
    PERFORM vantage_ensure_columns('agent', m,
        'bubble_id text', 'name text', 'slug text', 'contact text', 'agent_type text', 'commission integer',
        'tree_seed text', 'created_date timestamptz', 'modified_date timestamptz', 'linked_user_login text',
        'last_update_annual_sales timestamptz', 'current_annual_sales numeric', 'annual_collection numeric',
        'intro_youtube text', 'email text', 'address text', 'bankin_account text', 'banker text', 'ic_front text',
        'ic_back text');

    PERFORM vantage_ensure_table('customer', m);
    PERFORM vantage_ensure_columns('customer', m,
        'customer_id text', 'name text', 'address text', 'state text', 'phone text', 'whatsapp text', 'status text',
        'linked_agent text', 'created_by text', 'created_date timestamptz', 'modified_date timestamptz', 'email text',
        'city text', 'postcode text', 'ic_number text', 'linked_seda_registration text', 'linked_old_customer text',
        'notes text', 'version integer', 'updated_by text');

    PERFORM vantage_ensure_table('user', m);
    PERFORM vantage_ensure_columns('user', m,
        'bubble_id text', 'authentication jsonb', 'user_signed_up boolean', 'dealership text', 'profile_picture text',
        'access_level text[]', 'linked_agent_profile text', 'check_in_report_today text', 'agent_code text',
        'created_date timestamptz', 'modified_date timestamptz', 'email text');

    PERFORM vantage_ensure_table('invoice', m);
    PERFORM vantage_ensure_columns('invoice', m,
        'bubble_id text', 'invoice_id integer', 'invoice_number text', 'amount numeric', 'total_amount numeric',
        '1st_payment numeric', '1st_payment_date timestamptz', '2nd_payment numeric',
        'amount_eligible_for_comm numeric', 'full_payment_date timestamptz', 'last_payment_date timestamptz',
        'linked_customer text', 'linked_agent text', 'linked_payment text[]', 'linked_seda_registration text',
        'linked_invoice_item text[]', 'created_by text', 'linked_package text', 'linked_agreement text',
        'linked_stock_transaction text[]', 'invoice_date timestamptz', 'created_date timestamptz',
        'modified_date timestamptz', 'status text', 'type text', 'version integer', 'approval_status text',
        'stock_status_inv text', 'paid boolean', 'need_approval boolean', 'locked_package boolean',
        'commission_paid boolean', 'percent_of_total_amount numeric', 'normal_commission numeric',
        'performance_tier_month integer', 'performance_tier_year integer', 'panel_qty integer',
        'stamp_cash_price numeric', 'dealercode text', 'logs text', 'eligible_amount_description text', 'visit integer',
        'is_latest boolean', 'root_id text', 'parent_id text', 'share_token text', 'share_expires_at timestamptz',
        'share_enabled boolean', 'share_access_count integer', 'customer_name_snapshot text',
        'customer_email_snapshot text', 'customer_phone_snapshot text', 'customer_address_snapshot text',
        'package_name_snapshot text', 'paid_amount numeric', 'balance_due numeric', 'paid_at timestamptz',
        'discount_percent numeric', 'discount_fixed numeric', 'voucher_code text', 'sent_at timestamptz',
        'viewed_at timestamptz', 'agent_markup numeric', 'migration_status text', 'linked_old_invoice text',
        'internal_notes text', 'customer_notes text', 'case_status text', 'template_id text');

    PERFORM vantage_ensure_table('payment', m);
    PERFORM vantage_ensure_columns('payment', m,
        'bubble_id text', 'amount numeric', 'payment_date timestamptz', 'payment_method text', 'payment_method_v2 text',
        'remark text', 'issuer_bank text', 'epp_month numeric', 'epp_type text', 'attachment text[]',
        'linked_agent text', 'linked_customer text', 'linked_invoice text', 'created_by text',
        'created_date timestamptz', 'modified_date timestamptz', 'payment_index numeric', 'bank_charges numeric',
        'terminal text', 'verified_by text', 'edit_history text', 'log text', 'epp_cost numeric');

    PERFORM vantage_ensure_table('submitted_payment', m);
    PERFORM vantage_ensure_columns('submitted_payment', m,
        'bubble_id text', 'amount numeric', 'payment_date timestamptz', 'payment_method text', 'payment_method_v2 text',
        'remark text', 'issuer_bank text', 'epp_month numeric', 'epp_type text', 'attachment text[]',
        'linked_agent text', 'linked_customer text', 'linked_invoice text', 'created_by text',
        'created_date timestamptz', 'modified_date timestamptz', 'terminal text', 'status text',
        'linked_installment text', 'payment_index numeric', 'bank_charges numeric', 'verified_by text',
        'edit_history text', 'log text', 'epp_cost numeric', 'became_payment text');

    PERFORM vantage_ensure_table('invoice_item', m);
    PERFORM vantage_ensure_columns('invoice_item', m,
        'bubble_id text', 'description text', 'qty numeric', 'amount numeric', 'unit_price numeric',
        'is_a_package boolean', 'linked_invoice text', 'created_by text', 'created_date timestamptz',
        'modified_date timestamptz', 'inv_item_type text', 'linked_package text', 'epp numeric', 'sort numeric',
        'linked_voucher text', 'voucher_remark text');

    PERFORM vantage_ensure_table('seda_registration', m);
    PERFORM vantage_ensure_columns('seda_registration', m,
        'bubble_id text', 'city text', 'state text', 'agent text', 'linked_customer text', 'created_by text',
        'created_date timestamptz', 'modified_date timestamptz', 'project_price numeric', 'system_size numeric',
        'system_size_in_form_kwp numeric', 'reg_status text', 'redex_status text', 'redex_remark text',
        'roof_images text[]', 'site_images text[]', 'drawing_system_submitted text', 'sunpeak_hours numeric',
        'customer_signature text', 'ic_copy_front text', 'ic_copy_back text', 'tnb_bill_1 text', 'tnb_bill_2 text',
        'tnb_bill_3 text', 'nem_cert text', 'mykad_pdf text', 'property_ownership_prove text',
        'drawing_pdf_system text[]', 'drawing_system_actual text[]', 'drawing_engineering_seda_pdf text[]',
        'inverter_kwac numeric', 'estimated_monthly_saving numeric', 'average_tnb numeric', 'nem_application_no text',
        'nem_type text', 'phase_type text', 'tnb_account_no text', 'tnb_meter text', 'tnb_meter_status text',
        'tnb_meter_install_date timestamptz', 'first_completion_date timestamptz', 'inverter_serial_no text',
        'special_remark text', 'email text', 'ic_no text', 'e_contact_name text', 'e_contact_no text',
        'e_contact_relationship text', 'e_contact_mykad text', 'e_email text', 'g_electric_folder_link text',
        'g_roof_folder_link text', 'installation_address text', 'price_category text', 'linked_invoice text[]',
        'slug text', 'request_drawing_date timestamptz', 'seda_status text', 'version integer', 'postcode text',
        'company_registration_no text', 'check_tnb_bill_and_meter_image text', 'check_mykad text',
        'check_ownership text', 'check_fill_in_detail text', 'seda_profile_status text', 'seda_profile_id text',
        'seda_profile_checked_at timestamptz', 'installation_address_1 text', 'installation_address_2 text',
        'latitude numeric', 'longitude numeric');

    PERFORM vantage_ensure_key('agent', ARRAY['bubble_id'], 'agent_bubble_id_unique', m);
    PERFORM vantage_ensure_index('agent', 'modified_date', m);
    PERFORM vantage_ensure_key('customer', ARRAY['customer_id'], 'customer_customer_id_unique', m);
    PERFORM vantage_ensure_index('customer', 'modified_date', m);
    PERFORM vantage_ensure_key('user', ARRAY['bubble_id'], 'user_bubble_id_unique', m);
    PERFORM vantage_ensure_index('user', 'modified_date', m);
    PERFORM vantage_ensure_key('invoice', ARRAY['bubble_id'], 'invoice_bubble_id_unique', m);
    PERFORM vantage_ensure_index('invoice', 'modified_date', m);
    PERFORM vantage_ensure_key('payment', ARRAY['bubble_id'], 'payment_bubble_id_unique', m);
    PERFORM vantage_ensure_index('payment', 'modified_date', m);
    PERFORM vantage_ensure_key('submitted_payment', ARRAY['bubble_id'], 'submitted_payment_bubble_id_unique', m);
    PERFORM vantage_ensure_index('submitted_payment', 'modified_date', m);
    PERFORM vantage_ensure_key('invoice_item', ARRAY['bubble_id'], 'invoice_item_bubble_id_unique', m);
    PERFORM vantage_ensure_index('invoice_item', 'modified_date', m);
    PERFORM vantage_ensure_key('seda_registration', ARRAY['bubble_id'], 'seda_registration_bubble_id_unique', m);
    PERFORM vantage_ensure_index('seda_registration', 'modified_date', m);

    PERFORM vantage_ensure_link(child, link, parent, key, m) FROM (VALUES
        ('agent', 'linked_user_login', 'user', 'bubble_id'),
        ('customer', 'linked_agent', 'agent', 'bubble_id'),
        ('user', 'linked_agent_profile', 'agent', 'bubble_id'),
        ('invoice', 'linked_customer', 'customer', 'customer_id'),
        ('invoice', 'linked_agent', 'agent', 'bubble_id'),
        ('invoice', 'linked_seda_registration', 'seda_registration', 'bubble_id'),
        ('invoice', 'created_by', 'user', 'bubble_id'),
        ('payment', 'linked_agent', 'agent', 'bubble_id'),
        ('payment', 'linked_customer', 'customer', 'customer_id'),
        ('payment', 'linked_invoice', 'invoice', 'bubble_id'),
        ('payment', 'created_by', 'user', 'bubble_id'),
        ('submitted_payment', 'linked_agent', 'agent', 'bubble_id'),
        ('submitted_payment', 'linked_customer', 'customer', 'customer_id'),
        ('submitted_payment', 'linked_invoice', 'invoice', 'bubble_id'),
        ('submitted_payment', 'created_by', 'user', 'bubble_id'),
        ('invoice_item', 'linked_invoice', 'invoice', 'bubble_id'),
        ('invoice_item', 'created_by', 'user', 'bubble_id'),
        ('seda_registration', 'agent', 'agent', 'bubble_id'),
        ('seda_registration', 'linked_customer', 'customer', 'customer_id')) v (child, link, parent, key);

    PERFORM vantage_ensure_index('invoice', 'linked_payment', m, 'gin');
    PERFORM vantage_ensure_index('invoice', 'linked_invoice_item', m, 'gin');
    PERFORM vantage_ensure_index('seda_registration', 'linked_invoice', m, 'gin');
END $$;

INSERT INTO vantage_sync_state (resource)
SELECT 'bubble_' || r FROM unnest(ARRAY['agent', 'customer', 'user', 'invoice', 'payment', 'submitted_payment',
                                        'invoice_item', 'seda_registration', 'links']) r
ON CONFLICT DO NOTHING;
INSERT INTO vantage_sync_expectation (resource) SELECT resource FROM vantage_sync_state ON CONFLICT DO NOTHING;
