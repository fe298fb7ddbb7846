-- From when the next incremental sync of accounts reads.
SELECT last_sync_time
FROM vantage_sync_state
WHERE resource = 'accounts';
