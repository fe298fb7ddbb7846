"""What must hold after each step, whatever happened: asserted on the source and the database as they are."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Any

from psycopg2 import sql

from vantage_pipeline import catalog
from vantage_pipeline.catalog.model import Resource, Table
from vantage_pipeline.warehouse.load_report import LoadReport
from vantage_pipeline_tests.database import Database
from vantage_pipeline_tests.torture.source_edits import Source
from vantage_pipeline_tests.torture.world import Outcome

LEGAL = {
    ("never_run", "running"), ("running", "success"), ("running", "failed"), ("success", "running"), ("failed", "running"),
}  # fmt: skip


def counts_add_up(report: LoadReport) -> None:
    """Fetched = created + updated + unchanged + quarantined."""
    counts = report.counts
    parts = counts.created + counts.updated + counts.unchanged + report.quarantined
    assert report.fetched == parts, (
        f"{report.resource}: {report.fetched} fetched, but {counts}, {report.quarantined} refused"
    )


def state_of(database: Database, resource: str) -> tuple[str, Any]:
    """The resource's status and watermark."""
    return database.rows(
        "SELECT last_sync_status, last_sync_time FROM vantage_sync_state WHERE resource = %s", resource
    )[0]


def state_is_right(
    database: Database, resource: str, outcome: Outcome, before: tuple[str, Any], *, dry_run: bool
) -> None:
    """The state row and the history say what happened, and who did not succeed leaves the watermark alone."""
    status, time = state_of(database, resource)
    told = database.rows(
        "SELECT status, records_synced, records_created, records_updated, records_unchanged, records_quarantined"
        " FROM vantage_sync_history WHERE run_id = %s AND resource = %s",
        [outcome.run_id, resource],
    )
    if dry_run:
        assert (status, time) == before, f"{resource}: a dry run changed the state from {before} to {(status, time)}"
        assert not told, f"{resource}: a dry run is in the history: {told}"
    elif outcome.report is not None:
        report, counts = outcome.report, outcome.report.counts
        assert (status, time) == ("success", report.watermark_after), (status, time, report)
        parts = (report.fetched, counts.created, counts.updated, counts.unchanged, report.quarantined)
        assert told == [("success", *parts)], (told, parts)
    else:
        if status == "success" and told and told[0][0] == "success":
            return  # it was cut off after all was committed
        assert time == before[1], f"{resource}: a sync that {outcome.status} moved the watermark to {time}"


def transitions_are_legal(database: Database) -> None:
    """States change as the state functions' rules say; the watermark moves only with a success, and never back."""
    rows = database.rows(
        "WITH seen AS (DELETE FROM torture_transitions RETURNING *)"
        " SELECT resource, was, became, time_was, time_became FROM seen ORDER BY id"
    )
    for resource, was, became, time_was, time_became in rows:
        if was != became:
            assert (was, became) in LEGAL, f"{resource} went from {was} to {became}"
        if time_was != time_became:
            assert (was, became) == ("running", "success"), f"{resource}: last_sync_time changed from {was} to {became}"
            assert time_was is None or time_became > time_was, f"{resource}: last_sync_time went back to {time_became}"


def structure_is_sound(database: Database, tables: Iterable[Table]) -> None:
    """No waiting link without a cause, no run twice in the history, at most one open run a resource."""
    with database.cursor() as cursor:
        cursor.execute(_structure(tuple(table.name for table in tables)))
        problems = cursor.fetchall()
    assert not problems, problems


@cache
def _structure(names: tuple[str, ...]) -> sql.Composable:
    parts: list[sql.Composable] = [
        sql.SQL(
            "SELECT 'a run is twice in the history', resource, run_id, partition_key, count(*)::text FROM vantage_sync_history"
            " GROUP BY resource, run_id, partition_key HAVING count(*) > 1"
        ),
        sql.SQL(
            "SELECT 'two runs of one resource are open', resource, '', '', count(*)::text FROM vantage_sync_history"
            " WHERE status = 'running' GROUP BY resource HAVING count(*) > 1"
        ),
        sql.SQL(
            "SELECT 'a change is twice in the history', h.table_name, h.row_key, h.new::text, h.operation FROM"
            " (SELECT *, lag(new) OVER w AS before, lag(old) OVER w AS old_before FROM vantage_change_history"
            "  WINDOW w AS (PARTITION BY table_name, row_key ORDER BY id)) h WHERE h.new = h.before AND h.old = h.old_before"
        ),
    ]
    for name in names:
        table = catalog.table(name)
        for column in table.links:
            link = column.link
            if link is None:
                continue
            given = {
                "child": sql.Identifier(name), "key": sql.Identifier(table.key), "column": sql.Identifier(column.name),
                "name": sql.Literal(name), "column_name": sql.Literal(column.name), "parent": sql.Identifier(link.table),
                "parent_key": sql.Identifier(link.key),
            }  # fmt: skip
            parts.append(
                sql.SQL(
                    "SELECT 'a link waits without a cause', q.table_name, q.row_key, q.column_name, q.parent_key"
                    " FROM vantage_pending_links q LEFT JOIN {child} c ON c.{key} = q.row_key"
                    " LEFT JOIN {parent} p ON p.{parent_key} = q.parent_key"
                    " WHERE q.table_name = {name} AND q.column_name = {column_name}"
                    " AND (c.{key} IS NULL OR c.{column} IS NOT NULL OR p.{parent_key} IS NOT NULL)"
                ).format(**given)
            )
    return sql.SQL(" UNION ALL ").join(parts)


def watermarks_are_not_late(database: Database, source: Source, resources: Iterable[tuple[Resource, str]]) -> None:
    """What changed before a resource's watermark is in its table, or waits in quarantine in that version."""
    pairs = list(resources)
    times = dict(
        database.rows("SELECT resource, last_sync_time FROM vantage_sync_state WHERE last_sync_time IS NOT NULL")
    )
    chosen = [(resource, type_name) for resource, type_name in pairs if resource.state in times]
    if not chosen:
        return
    kept = _versions(database, tuple(resource.datasets[0].table.name for resource, _ in chosen))
    waiting = {
        (table, key): stamp_of(json.loads(record))
        for table, key, record in database.rows(
            "SELECT table_name, record_key, record::text FROM vantage_quarantine WHERE resolved_at IS NULL"
        )
    }
    for resource, type_name in chosen:
        table, watermark = resource.datasets[0].table, times[resource.state]
        for key in source.keys(type_name):
            written = stamp_of(source.get(type_name, key))
            stamp = moment(written)
            if stamp >= watermark or kept.get((table.name, key)) == stamp or waiting.get((table.name, key)) == written:
                continue
            raise AssertionError(
                f"{resource.state}: the watermark is {watermark}, but {key}, changed at {stamp}, is in the table as of "
                f"{kept.get((table.name, key))}"
            )


def stamp_of(record: dict[str, Any]) -> Any:
    """A record's last change, as it is written in it."""
    return record.get("Modified Date", record.get("updated_time"))


def moment(text: str) -> datetime:
    """A stamp of either source."""
    found = datetime.fromisoformat(text)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _versions(database: Database, names: tuple[str, ...]) -> dict[tuple[str, str], Any]:
    parts = [
        sql.SQL("SELECT {}, {}::text, {} FROM {}").format(
            sql.Literal(name),
            sql.Identifier(catalog.table(name).key),
            sql.Identifier(catalog.table(name).modified),
            sql.Identifier(name),
        )
        for name in names
    ]
    with database.cursor() as cursor:
        cursor.execute(sql.SQL(" UNION ALL ").join(parts))
        return {(name, key): modified for name, key, modified in cursor.fetchall()}
