"""What must hold of a resource after its sync, as asset checks in the step of the asset itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from vantage_pipeline.catalog.model import Resource, Table
from vantage_pipeline.orchestration.reading import Reading
from vantage_pipeline.warehouse import engine


@dataclass(frozen=True, slots=True)
class _Check:
    name: str
    description: str


KEYS_UNIQUE = _Check("keys_unique", "No two rows have the same key in the source.")
NO_ORPHANS = _Check("no_orphans", "Each row's links point at rows that are there.")
REQUIRED_FILLED = _Check("required_filled", "No key, name or other required column is empty.")
READING_COMPLETE = _Check("reading_complete", "As many different records were read as the API said it had.")
ROWS_COVER_READING = _Check("rows_cover_reading", "Each record that was read is a row or in quarantine.")

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
        for check, look in ((KEYS_UNIQUE, _repeated_keys), (NO_ORPHANS, _orphans), (REQUIRED_FILLED, _empty_required)):
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


def _scalar(connection: Connection, statement: sql.Composable) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        row = cursor.fetchone()
    connection.rollback()
    return int(row[0]) if row else 0


def _repeated_keys(connection: Connection, table: Table) -> int:
    """Rows beyond the first of their key. None when a valid unique index vouches for it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = %s"
            " WHERE i.indrelid = to_regclass(quote_ident(%s)) AND i.indisunique AND i.indisvalid"
            " AND i.indpred IS NULL AND i.indkey::int2[] = ARRAY[a.attnum])",
            (table.key, table.name),
        )
        row = cursor.fetchone()
    if row and row[0]:
        return 0
    return _scalar(
        connection,
        sql.SQL("SELECT count({key}) - count(DISTINCT {key}) FROM {table}").format(
            key=sql.Identifier(table.key), table=sql.Identifier(table.name)
        ),
    )


def _orphans(connection: Connection, table: Table) -> int:
    """Rows with a link to a row that is not there. A valid foreign key vouches for its column."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT a.attname FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid"
            " AND c.conkey = ARRAY[a.attnum] WHERE c.conrelid = to_regclass(quote_ident(%s))"
            " AND c.contype = 'f' AND c.convalidated",
            (table.name,),
        )
        vouched = {name for (name,) in cursor.fetchall()}
    found = 0
    for column in table.links:
        if column.name in vouched or column.link is None:
            continue
        found += _scalar(
            connection,
            sql.SQL(
                "SELECT count(*) FROM {child} c WHERE c.{column} IS NOT NULL"
                " AND NOT EXISTS (SELECT 1 FROM {parent} p WHERE p.{ref} = c.{column})"
            ).format(
                child=sql.Identifier(table.name),
                column=sql.Identifier(column.name),
                parent=sql.Identifier(column.link.table),
                ref=sql.Identifier(column.link.ref),
            ),
        )
    return found


def _empty_required(connection: Connection, table: Table) -> int:
    conditions = [
        sql.SQL("{} IS NULL").format(sql.Identifier(column.name)) for column in table.columns if column.required
    ]
    owned: sql.Composable = sql.SQL("true")
    if table.owner is not None:
        owned = sql.SQL("{}::text = {}").format(sql.Identifier(table.owner[0]), sql.Literal(table.owner[1]))
    return _scalar(
        connection,
        sql.SQL("SELECT count(*) FROM {} WHERE {} AND deleted_at IS NULL AND ({})").format(
            sql.Identifier(table.name), owned, sql.SQL(" OR ").join(conditions)
        ),
    )
