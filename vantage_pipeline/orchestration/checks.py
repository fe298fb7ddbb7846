"""What must hold of a resource after its sync, as asset checks in the step of the asset itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
from psycopg2.extensions import connection as Connection

from vantage_pipeline.catalog.model import Resource, Table
from vantage_pipeline.orchestration.reading import Reading
from vantage_pipeline.warehouse import engine, integrity


@dataclass(frozen=True, slots=True)
class _Check:
    name: str
    description: str


KEYS_UNIQUE = _Check("keys_unique", "No two rows have the same key in the source.")
NO_ORPHANS = _Check("no_orphans", "Each row's links point at rows that are there.")
REQUIRED_FILLED = _Check("required_filled", "No key, name or other required column is empty.")
READING_COMPLETE = _Check("reading_complete", "As many different records were read as the API said there were.")
ROWS_COVER_READING = _Check("rows_cover_reading", "Each record that was read is a row or in quarantine.")

HEALTHY = _Check("healthy", "No condition is open: no failure, no sync that is stuck, late or slow, nothing held back.")
"""Not part of the sync: see `orchestration.health`."""

_OF_SOURCES = (KEYS_UNIQUE, NO_ORPHANS, REQUIRED_FILLED, READING_COMPLETE, ROWS_COVER_READING)


def specs(resource: Resource) -> list[dg.AssetCheckSpec]:
    """The checks of a resource; what is derived in SQL has none of its own."""
    if not resource.datasets:
        return []
    key = dg.AssetKey(resource.asset.split("/"))
    return [dg.AssetCheckSpec(check.name, asset=key, description=check.description) for check in _OF_SOURCES]


def results(reading: Reading) -> Iterator[dg.AssetCheckResult]:
    """The checks' results, from what the load knows and from one look at each table."""
    resource = reading.resource
    if not resource.datasets or reading.outcome.report is None:
        return
    key = dg.AssetKey(resource.asset.split("/"))
    connection = engine.connect(engine.database_url(reading.settings))
    try:
        tables = [dataset.table for dataset in resource.datasets]
        looks = (
            (KEYS_UNIQUE, integrity.repeated_keys),
            (NO_ORPHANS, _orphans),
            (REQUIRED_FILLED, integrity.empty_required),
        )
        for check, look in looks:
            found = {table.name: look(connection, table) for table in tables}
            yield dg.AssetCheckResult(
                asset_key=key, check_name=check.name, passed=not any(found.values()), metadata=dict(found)
            )
    finally:
        connection.close()
    outcome, report = reading.outcome, reading.outcome.report
    short = {t: n - outcome.seen.get(t, 0) for t, n in outcome.promised.items() if outcome.seen.get(t, 0) < n}
    yield dg.AssetCheckResult(
        asset_key=key,
        check_name=READING_COMPLETE.name,
        passed=not short,
        metadata={"promised": outcome.promised, "read": outcome.seen},
    )
    accounted = report.counts.created + report.counts.updated + report.counts.unchanged + report.quarantined
    yield dg.AssetCheckResult(
        asset_key=key,
        check_name=ROWS_COVER_READING.name,
        passed=accounted == report.fetched,
        metadata={"fetched": report.fetched, "rows": accounted - report.quarantined, "quarantined": report.quarantined},
    )


def _orphans(connection: Connection, table: Table) -> int:
    return sum(integrity.orphans(connection, table).values())
