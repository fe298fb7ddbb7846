-- Resources that failed three times or more in a row.
SELECT resource, failures_in_a_row FROM sync_health WHERE failures_in_a_row >= 3;
