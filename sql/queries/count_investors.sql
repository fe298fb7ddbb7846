-- How many investors there are, of all sources.
SELECT COUNT(*) FROM investors;
