"""The Dagster face: assets, IO manager, partitions, jobs, schedules, sensors, checks."""
