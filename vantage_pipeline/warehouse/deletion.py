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


def mark_missing(
    cursor: Cursor, table: Table, options: DeleteOptions, *, run_id: str, resource: str
) -> tuple[list[str], HeldBack | None]:
    """Set ``deleted_at`` where the key was not seen, unless that is too much at once; gives the rows' keys."""
    cursor.execute(sql.SQL("ANALYZE {}").format(_seen(table)))
    unseen = sql.SQL("NOT EXISTS (SELECT 1 FROM {} s WHERE s.key = t.{}::text)").format(
        _seen(table), sql.Identifier(table.key)
    )
    return _mark(cursor, table, unseen, options, run_id=run_id, resource=resource)


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
    chosen = sql.SQL("t.{}::text = ANY({}) AND coalesce(t.last_synced_at < {}, true)").format(
        sql.Identifier(table.key), sql.Literal(list(keys)), sql.Literal(untouched_since)
    )
    return _mark(cursor, table, chosen, options, run_id=run_id, resource=resource)


def _mark(
    cursor: Cursor, table: Table, chosen: sql.Composable, options: DeleteOptions, *, run_id: str, resource: str
) -> tuple[list[str], HeldBack | None]:
    owned: sql.Composable = sql.SQL("")
    if table.owner is not None:
        owned = sql.SQL(" AND t.{}::text = {}").format(sql.Identifier(table.owner[0]), sql.Literal(table.owner[1]))
    parts = {"target": sql.Identifier(table.name), "key": sql.Identifier(table.key), "owned": owned}
    missing = sql.SQL("t.deleted_at IS NULL AND t.{key} IS NOT NULL{owned} AND {chosen}").format(chosen=chosen, **parts)
    cursor.execute(sql.SQL("SELECT count(*) FROM {target} t WHERE {missing}").format(missing=missing, **parts))
    gone = int((cursor.fetchone() or (0,))[0])
    if not gone:
        return [], None
    cursor.execute(sql.SQL("SELECT count(*) FROM {target} t WHERE t.deleted_at IS NULL{owned}").format(**parts))
    held_rows = int((cursor.fetchone() or (0,))[0])
    if gone > options.delete_records and gone > options.delete_share * held_rows and not options.allow_deleting:
        held = HeldBack(table.name, "delete", "", gone, gone / held_rows)
        guard.record(cursor, held, run_id=run_id, resource=resource)
        return [], held
    cursor.execute(
        sql.SQL(
            "UPDATE {target} t SET deleted_at = now(), updated_at = now(), last_synced_at = now() WHERE {missing}"
            " RETURNING t.{key}::text"
        ).format(missing=missing, **parts)
    )
    return [key for (key,) in cursor.fetchall()], None
