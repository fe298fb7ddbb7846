"""Which fields the sources send: for the report of fields without a column, and of columns never fed."""

from __future__ import annotations

from collections.abc import Mapping

from psycopg2.extensions import cursor as Cursor
from psycopg2.extras import execute_values

from vantage_pipeline import catalog

_UPSERT = """
INSERT INTO vantage_field_sightings AS f (resource, table_name, field, mapped, records)
VALUES %s
ON CONFLICT (resource, table_name, field) DO UPDATE
SET last_seen_at = now(), mapped = excluded.mapped, records = f.records + excluded.records
"""


def record(cursor: Cursor, *, resource: str, table: str, fields: Mapping[str, int]) -> None:
    """Count the fields that a sync saw."""
    mapped = catalog.table(table).fields
    rows = [
        (resource, table, field.replace("\x00", ""), field in mapped, count)
        for field, count in sorted(fields.items())
        if field.isprintable()
    ]
    if rows:
        execute_values(cursor, _UPSERT, rows)
