-- Transactions whose account or fund is not there, with the id that they wait for where the source gave one.
SELECT t.external_id, t.transaction_date, t.amount, p.column_name, p.parent_table, p.parent_key, p.reason
FROM transactions t
LEFT JOIN vantage_pending_links p ON p.table_name = 'transactions' AND p.row_key = t.external_id
WHERE t.deleted_at IS NULL
  AND (t.investor_id IS NULL OR t.deal_id IS NULL)
ORDER BY t.external_id;
