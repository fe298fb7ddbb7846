"""A batch into a temporary table, by one COPY."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline.catalog.model import Table
from vantage_pipeline.records.model import Cell, RowBatch
from vantage_pipeline.warehouse.tables import LiveColumn

_PIECE = 1 << 20
"""Bytes handed over at a time."""
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_TRANSLATION = str.maketrans(_ESCAPES)


def staging_name(table: Table) -> str:
    return f"staging_{table.name}"


def staged_columns(table: Table) -> list[str]:
    """The mapped columns and ``extra``, in the order of the COPY."""
    return [*(column.name for column in table.columns), "extra"]


def create(connection: Connection, table: Table, live: Mapping[str, LiveColumn]) -> None:
    """Make the table's staging and seen-keys tables for this session, or empty those that it has.

    Columns have the types of the real table; a link's column is text, since it holds the parent's key.
    """
    links = {column.name for column in table.links}
    definitions = [
        sql.SQL("{} {}").format(
            sql.Identifier(name), sql.SQL("text") if name in links else sql.Identifier(live[name].type_name)
        )
        for name in staged_columns(table)
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("CREATE TEMP TABLE IF NOT EXISTS {} ({})").format(
                sql.Identifier(staging_name(table)), sql.SQL(", ").join(definitions)
            )
        )
        cursor.execute(
            sql.SQL("CREATE TEMP TABLE IF NOT EXISTS {} (key text NOT NULL)").format(
                sql.Identifier(f"seen_{table.name}")
            )
        )
        cursor.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(f"seen_{table.name}")))


def fill(cursor: Cursor, batch: RowBatch) -> None:
    """Replace what is staged by the batch's rows."""
    name = sql.Identifier(staging_name(batch.table))
    cursor.execute(sql.SQL("TRUNCATE {}").format(name))
    if not len(batch):
        return
    columns = staged_columns(batch.table)
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(name, sql.SQL(", ").join(map(sql.Identifier, columns)))
    # in large pieces: for each one the mapping thread has to be waited for
    source = io.BytesIO(copy_text([batch.columns[column] for column in columns]))
    cursor.copy_expert(statement.as_string(cursor), source, size=_PIECE)
    # only what is joined on: to look at every column takes longer than the merge of unchanged rows
    joined = [sql.Identifier(column) for column in (batch.table.key, *(link.name for link in batch.table.links))]
    cursor.execute(sql.SQL("ANALYZE {} ({})").format(name, sql.SQL(", ").join(joined)))


def copy_text(columns: Sequence[Sequence[Cell]]) -> bytes:
    """Rows in PostgreSQL's text format, from columns of the same length."""
    rows = map("\t".join, zip(*map(_escaped, columns), strict=True))
    return "".join([f"{row}\n" for row in rows]).encode("utf-8")


def _escaped(values: Sequence[Cell]) -> Sequence[str]:
    """A column with NULL as ``\\N`` and escapes where they are needed, which one look at the whole column tells."""
    present = [value for value in values if value is not None]
    everything = "\x00".join(present)
    if any(mark in everything for mark in _ESCAPES):
        return ["\\N" if value is None else value.translate(_TRANSLATION) for value in values]
    if len(present) == len(values):
        return present
    return ["\\N" if value is None else value for value in values]
