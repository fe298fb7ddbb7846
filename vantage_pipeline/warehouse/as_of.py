"""A table's rows as they were at a time: those of now with the changes undone that the history has since then."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from psycopg2.extensions import connection as Connection

from vantage_pipeline import catalog
from vantage_pipeline.errors import UsageError
from vantage_pipeline.warehouse.tables import BOOKKEEPING

_ROWS_AT_ONCE = 1_000
_DERIVED_COLUMNS = """
SELECT attname FROM pg_attribute
WHERE attrelid = to_regclass(quote_ident(%s)) AND attnum > 0 AND NOT attisdropped AND attname <> ALL(%s) ORDER BY attnum
"""


def mapped_columns(connection: Connection, table: str) -> list[str]:
    """The columns that syncs write, in the order of the catalog.

    Raises:
        UsageError: no sync writes a table of that name.
    """
    synced = [name for resource in catalog.RESOURCES for name in resource.tables]
    if table not in synced:
        raise UsageError(f"{table!r} is not a synced table; those are: {', '.join(sorted(set(synced)))}")
    try:
        return [*(column.name for column in catalog.table(table).columns), "extra"]
    except KeyError:
        with connection.cursor() as cursor:
            cursor.execute(_DERIVED_COLUMNS, (table, ["id", *BOOKKEEPING]))
            return [name for (name,) in cursor.fetchall()]


def history_begins(connection: Connection, table: str) -> datetime | None:
    """When the first change of the table was recorded; None where none is."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT min(changed_at) FROM vantage_change_history WHERE table_name = %s", (table,))
        row = cursor.fetchone()
    return row[0] if row else None


def rows_as_of(
    connection: Connection, table: str, at: datetime, columns: list[str], *, key: str | None = None
) -> Iterator[list[str | None]]:
    """Each row's columns as text, in the order of its key. A number is as exact as it was."""
    for _, values in _rows(connection, table, at, columns, key):
        yield values


def rows_as_json(
    connection: Connection, table: str, at: datetime, columns: list[str], *, key: str | None = None
) -> Iterator[str]:
    """Each row as the text of a JSON object."""
    for text, _ in _rows(connection, table, at, columns, key):
        yield text


def _rows(
    connection: Connection, table: str, at: datetime, columns: list[str], key: str | None
) -> Iterator[tuple[str, list[str | None]]]:
    with connection.cursor(name="as_of") as cursor:
        cursor.itersize = _ROWS_AT_ONCE
        cursor.execute(
            "SELECT v.whole::text, v.cells FROM vantage_as_of(%(table)s, %(at)s, %(key)s) r CROSS JOIN LATERAL ("
            " SELECT json_object_agg(c, r.columns->c ORDER BY n) AS whole, array_agg(r.columns->>c ORDER BY n) AS cells"
            " FROM unnest(%(columns)s) WITH ORDINALITY u(c, n)) v",
            {"columns": columns, "table": table, "at": at, "key": key},
        )
        yield from cursor
