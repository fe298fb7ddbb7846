"""Deletions: rows whose record the source no longer has are marked, never removed.

Only after a reading that was complete. A record that comes back clears the mark (see `merge`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline.catalog.model import Table
from vantage_pipeline.records.model import Rejection, RowBatch
from vantage_pipeline.warehouse import guard
from vantage_pipeline.warehouse.guard import HeldBack
from vantage_pipeline.warehouse.staging import staging_name


class DeleteOptions(Protocol):
    """The part of the load's options that deletions read."""

    @property
    def delete_share(self) -> float: ...
    @property
    def delete_records(self) -> int: ...
    @property
    def allow_deleting(self) -> bool: ...


def _seen(table: Table) -> sql.Identifier:
    return sql.Identifier(f"seen_{table.name}")


def mark_seen(cursor: Cursor, batch: RowBatch, rejections: Sequence[Rejection]) -> None:
    """Remember the batch's keys; a rejected record is in the source too."""
    cursor.execute(
        sql.SQL("INSERT INTO {} SELECT {}::text FROM {}").format(
            _seen(batch.table), sql.Identifier(batch.table.key), sql.Identifier(staging_name(batch.table))
        )
    )
    if rejections:
        cursor.execute(
            sql.SQL("INSERT INTO {} SELECT unnest(%s::text[])").format(_seen(batch.table)),
            ([rejection.record_key for rejection in rejections],),
        )


def count_seen(cursor: Cursor, table: Table) -> int:
    """How many different keys were seen."""
    cursor.execute(sql.SQL("SELECT count(DISTINCT key) FROM {}").format(_seen(table)))
    row = cursor.fetchone()
    return int(row[0]) if row else 0


def unseen(cursor: Cursor, table: Table, options: DeleteOptions, *, resource: str) -> list[str]:
    """The keys of live rows and of open quarantine entries that were not seen; none where they would be held back."""
    gone, rows = _weigh(cursor, table, _not_seen(table))
    if _too_much(gone, rows, options):
        return []
    parts = {"missing": _missing(table, _not_seen(table)), "seen": _seen(table)}
    cursor.execute(
        sql.SQL(
            "SELECT t.{key}::text FROM {target} t WHERE {missing} UNION SELECT q.record_key FROM vantage_quarantine q"
            " WHERE q.resource = %s AND q.table_name = %s AND q.resolved_at IS NULL"
            " AND NOT EXISTS (SELECT 1 FROM {seen} s WHERE s.key = q.record_key) ORDER BY 1"
        ).format(key=sql.Identifier(table.key), target=sql.Identifier(table.name), **parts),
        (resource, table.name),
    )
    return [key for (key,) in cursor.fetchall()]


def mark_missing(
    cursor: Cursor, table: Table, options: DeleteOptions, *, untouched_since: datetime, run_id: str, resource: str
) -> tuple[list[str], HeldBack | None]:
    """Set ``deleted_at`` where the key was not seen, unless that is too much at once; gives the rows' keys.

    Rows that another sync has written since the reading began are left alone: it may have seen what this one did not.
    """
    cursor.execute(sql.SQL("ANALYZE {}").format(_seen(table)))
    chosen = sql.SQL("{} AND {}").format(_not_seen(table), _untouched(untouched_since))
    return _mark(cursor, table, chosen, options, run_id=run_id, resource=resource)


def mark_keys(
    cursor: Cursor,
    table: Table,
    keys: Sequence[str],
    options: DeleteOptions,
    *,
    untouched_since: datetime,
    run_id: str,
    resource: str,
) -> tuple[list[str], HeldBack | None]:
    """Set ``deleted_at`` for these keys, but not where a sync has written the row since; see `mark_missing`."""
    chosen = sql.SQL("t.{}::text = ANY({}) AND {}").format(
        sql.Identifier(table.key), sql.Literal(list(keys)), _untouched(untouched_since)
    )
    return _mark(cursor, table, chosen, options, run_id=run_id, resource=resource)


def _mark(
    cursor: Cursor, table: Table, chosen: sql.Composable, options: DeleteOptions, *, run_id: str, resource: str
) -> tuple[list[str], HeldBack | None]:
    gone, rows = _weigh(cursor, table, chosen)
    if not gone:
        return [], None
    if _too_much(gone, rows, options):
        held = HeldBack(table.name, "delete", "", gone, gone / rows)
        guard.record(cursor, held, run_id=run_id, resource=resource)
        return [], held
    cursor.execute(
        sql.SQL(
            "UPDATE {target} t SET deleted_at = now(), updated_at = now(), last_synced_at = now() WHERE {missing}"
            " RETURNING t.{key}::text"
        ).format(target=sql.Identifier(table.name), key=sql.Identifier(table.key), missing=_missing(table, chosen))
    )
    return [key for (key,) in cursor.fetchall()], None


def _weigh(cursor: Cursor, table: Table, chosen: sql.Composable) -> tuple[int, int]:
    """How many live rows are `chosen`, of how many; the latter is counted only where there are any."""
    target = sql.Identifier(table.name)
    count = sql.SQL("SELECT count(*) FROM {} t WHERE {}")
    cursor.execute(count.format(target, _missing(table, chosen)))
    gone = int((cursor.fetchone() or (0,))[0])
    if not gone:
        return 0, 0
    cursor.execute(count.format(target, sql.SQL("t.deleted_at IS NULL{}").format(_owned(table))))
    return gone, int((cursor.fetchone() or (0,))[0])


def _too_much(gone: int, rows: int, options: DeleteOptions) -> bool:
    too_many = guard.too_many(gone, rows, share=options.delete_share, records=options.delete_records)
    return too_many and not options.allow_deleting


def _missing(table: Table, chosen: sql.Composable) -> sql.Composable:
    return sql.SQL("t.deleted_at IS NULL AND t.{} IS NOT NULL{} AND {}").format(
        sql.Identifier(table.key), _owned(table), chosen
    )


def _owned(table: Table) -> sql.Composable:
    if table.owner is None:
        return sql.SQL("")
    column, value = table.owner
    return sql.SQL(" AND t.{}::text = {}").format(sql.Identifier(column), sql.Literal(value))


def _not_seen(table: Table) -> sql.Composable:
    return sql.SQL("NOT EXISTS (SELECT 1 FROM {} s WHERE s.key = t.{}::text)").format(
        _seen(table), sql.Identifier(table.key)
    )


def _untouched(since: datetime) -> sql.Composable:
    return sql.SQL("coalesce(t.last_synced_at < {}, true)").format(sql.Literal(since))
