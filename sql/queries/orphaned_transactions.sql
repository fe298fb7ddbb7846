-- Transactions whose account or fund is not there yet.
SELECT * FROM vantage_pending_links WHERE table_name = 'transactions' ORDER BY row_key;
