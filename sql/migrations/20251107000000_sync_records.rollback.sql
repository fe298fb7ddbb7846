DROP VIEW IF EXISTS sync_health;
DROP FUNCTION IF EXISTS vantage_failures_in_a_row(text);
DROP TABLE IF EXISTS vantage_change_history, vantage_held_back, vantage_field_sightings, vantage_link_conflicts,
    vantage_link_repairs, vantage_pending_links, vantage_quarantine;
