"""Records that could not become rows: kept whole, with the reason, until they arrive well."""

from __future__ import annotations

from collections.abc import Sequence, Set

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values

from vantage_pipeline.records.model import Rejection, RowBatch

_INSERT = """
INSERT INTO vantage_quarantine AS q
    (resource, table_name, record_key, code, field, message, record, run_id)
VALUES %s
ON CONFLICT (resource, table_name, record_key) WHERE resolved_at IS NULL DO UPDATE
SET code = excluded.code, field = excluded.field, message = excluded.message, record = excluded.record,
    run_id = excluded.run_id, last_seen_at = now(), times_seen = q.times_seen + 1
"""

_RESOLVE = """
UPDATE vantage_quarantine SET resolved_at = now(), resolution = %s
WHERE resource = %s AND table_name = %s AND resolved_at IS NULL AND record_key = ANY(%s)
"""

_RESOLVE_UNSEEN = """
UPDATE vantage_quarantine q SET resolved_at = now(), resolution = 'no longer in the source'
WHERE q.resource = %s AND q.table_name = %s AND q.resolved_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM {seen} s WHERE s.key = q.record_key)
"""


def put(cursor: Cursor, *, resource: str, run_id: str, rejections: Sequence[Rejection]) -> None:
    """Store the rejections; one that is there already is seen once more."""
    latest = {(rejection.table, rejection.record_key): rejection for rejection in rejections}
    rows = [(resource, r.table, r.record_key, r.code, r.field, r.message, r.record, run_id) for r in latest.values()]
    execute_values(cursor, _INSERT, rows)


def settle(
    cursor: Cursor, known: Set[str], batch: RowBatch, rejections: Sequence[Rejection], *, resource: str, run_id: str
) -> None:
    """Bring the batch's entries up to date: close what arrived well, store what was refused.

    Args:
        known: keys that are in quarantine.
    """
    refused = {rejection.record_key for rejection in rejections}
    keys = batch.columns[batch.table.key] if known else []
    arrived = [key for key in keys if key and key in known and key not in refused]
    if arrived:
        resolve(cursor, resource=resource, table=batch.table.name, keys=arrived, how="arrived well")
    if rejections:
        put(cursor, resource=resource, run_id=run_id, rejections=rejections)


def open_keys(cursor: Cursor, *, resource: str, table: str) -> set[str]:
    """Keys of the table's records that are in quarantine now."""
    cursor.execute(
        "SELECT record_key FROM vantage_quarantine WHERE resource = %s AND table_name = %s AND resolved_at IS NULL",
        (resource, table),
    )
    return {key for (key,) in cursor.fetchall()}


def resolve(cursor: Cursor, *, resource: str, table: str, keys: Sequence[str], how: str) -> None:
    """Close the entries of `keys`."""
    cursor.execute(_RESOLVE, (how, resource, table, list(keys)))


def resolve_unseen(cursor: Cursor, *, resource: str, table: str) -> None:
    """Close the entries whose record this session has not seen. Only after a complete reading of everything."""
    cursor.execute(sql.SQL(_RESOLVE_UNSEEN).format(seen=sql.Identifier(f"seen_{table}")), (resource, table))
