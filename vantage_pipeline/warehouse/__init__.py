"""PostgreSQL: connections, migrations, merge, quarantine, links, sync state, reconciliation."""
