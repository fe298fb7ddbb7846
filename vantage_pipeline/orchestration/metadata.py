"""What a materialization shows in the UI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import dagster as dg
from psycopg2 import sql

from vantage_pipeline import catalog
from vantage_pipeline.catalog.model import Resource, Table
from vantage_pipeline.orchestration.differences import first_of
from vantage_pipeline.orchestration.reading import Reading
from vantage_pipeline.warehouse import engine
from vantage_pipeline.warehouse.load_report import LoadReport

_ROWS_SHOWN = 25
_DIFFERENCES_SHOWN = 200
_EXACT_COUNT_BELOW = 1_000_000
_LOCAL_NOTE = "Columns that are not listed belong to the database and are never read or written."


def describe(reading: Reading, url: str) -> Mapping[str, Any]:
    """Counts, watermarks, cost, row count, and the first errors or differences."""
    report, outcome = reading.outcome.report, reading.outcome
    if report is None:
        return {}
    shown: dict[str, Any] = {
        "fetched": report.fetched,
        "created": report.counts.created,
        "updated": report.counts.updated,
        "unchanged": report.counts.unchanged,
        "quarantined": report.quarantined,
        "deleted": report.deleted,
        "links_pending": report.counts.dangling,
        "links_filled": report.links_filled,
        "api_calls": outcome.stats.requests,
        "api_calls_by_status": dict(outcome.stats.by_status),
        "retries": outcome.stats.retries,
        "seconds": round(outcome.seconds, 3),
        "watermark_before": _moment(report.watermark_before),
        "watermark_after": _moment(report.watermark_after),
        **outcome.extra,
    }
    if outcome.seconds:
        shown["records_per_second"] = round(report.fetched / outcome.seconds, 1)
    if reading.config.ids:
        shown["by_table"] = {
            table: {"created": counts.created, "updated": counts.updated, "unchanged": counts.unchanged}
            for table, counts in report.by_table.items()
        }
    if outcome.unreadable:
        shown["links_unreadable"] = dict(outcome.unreadable)
    if report.related.created or report.related.updated:
        shown["related_created"] = report.related.created
        shown["related_updated"] = report.related.updated
    shown.update({f"held_back/{h.table}.{h.column or h.kind}": h.as_error()["message"] for h in report.held_back})
    if not reading.config.dry_run:
        shown["dagster/row_count"] = row_count(url, reading.resource.tables)
        if "transactions" in reading.resource.tables:
            shown["unmapped_transaction_types"] = dict(report.unmapped_types.most_common(50))
    if report.rejections:
        shown["first_errors"] = _errors(report)
    if reading.config.dry_run:
        shown["dry_run"] = True
        shown["cleared"] = report.cleared
        shown["first_differences"] = _differences(report)
    return shown


def row_count(url: str, tables: Sequence[str]) -> int:
    """Rows in the resource's first table: exact for small ones, the planner's estimate for large ones."""
    connection = engine.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(quote_ident(%s))", (tables[0],)
            )
            row = cursor.fetchone()
            estimate = int(row[0]) if row else 0
            if estimate > _EXACT_COUNT_BELOW:
                return estimate
            cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(tables[0])))
            row = cursor.fetchone()
            return int(row[0]) if row else 0
    finally:
        connection.close()


def column_schema(resource: Resource) -> dg.TableSchema | None:
    """The mapped columns with their types and where they come from."""
    tables = [dataset.table for dataset in resource.datasets]
    if not tables:
        return None
    prefix = len(tables) > 1
    return dg.TableSchema(
        columns=[column for table in tables for column in _columns(table, prefix=prefix)],
    )


def _columns(table: Table, *, prefix: bool) -> list[dg.TableColumn]:
    shown = []
    for column in table.columns:
        source = ", ".join(column.fields) or f"always {column.constant}"
        link = f"; {column.link.table}.{column.link.ref}" if column.link else ""
        shown.append(
            dg.TableColumn(
                name=f"{table.name}.{column.name}" if prefix else column.name,
                type=column.kind.value,
                description=f"{source}{link}",
                constraints=dg.TableColumnConstraints(nullable=not column.required, unique=column.name == table.key),
            )
        )
    name = f"{table.name}.extra" if prefix else "extra"
    shown.append(dg.TableColumn(name=name, type="jsonb", description=f"Every other field. {_LOCAL_NOTE}"))
    return shown


def _errors(report: LoadReport) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        records=[
            dg.TableRecord(
                {"record": r.record_key, "table": r.table, "code": r.code, "field": r.field, "message": r.message}
            )
            for r in report.rejections[:_ROWS_SHOWN]
        ],
        schema=dg.TableSchema([dg.TableColumn(n, "string") for n in ("record", "table", "code", "field", "message")]),
    )


def _differences(report: LoadReport) -> dg.TableMetadataValue:
    return dg.MetadataValue.table(
        records=[
            dg.TableRecord(
                {
                    "record": d.key,
                    "table": d.table,
                    "kind": d.kind.value,
                    "column": d.column,
                    "old": "" if d.old is None else str(d.old)[:200],
                    "new": "" if d.new is None else str(d.new)[:200],
                }
            )
            for d in first_of(report.differences, _DIFFERENCES_SHOWN, kind=attrgetter("kind"))
        ],
        schema=dg.TableSchema(
            [dg.TableColumn(n, "string") for n in ("record", "table", "kind", "column", "old", "new")]
        ),
    )


def _moment(value: object) -> str:
    return "none" if value is None else str(value)


def upstream(resource: Resource) -> list[dg.AssetDep]:
    """The assets that are loaded before this one. A day's records may link to records of any day."""
    return [
        dg.AssetDep(
            dg.AssetKey(parent.asset.split("/")),
            partition_mapping=dg.AllPartitionMapping() if parent.partitioned else None,
        )
        for parent in map(catalog.by_state, resource.requires)
    ]
