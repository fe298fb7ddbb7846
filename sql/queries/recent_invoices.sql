-- The ten invoices that came last, with the ids that sync-invoice takes.
SELECT bubble_id, invoice_number, total_amount
FROM invoice
ORDER BY created_at DESC
LIMIT 10;
