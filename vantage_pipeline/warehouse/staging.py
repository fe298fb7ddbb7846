"""A batch into a temporary table, by one COPY."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.csv as arrow_csv
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline.catalog.model import Table
from vantage_pipeline.records.model import Cell, RowBatch
from vantage_pipeline.warehouse.tables import LiveColumn

_OPTIONS = arrow_csv.WriteOptions(include_header=False, quoting_style="all_valid")


def staging_name(table: Table) -> str:
    return f"staging_{table.name}"


def staged_columns(table: Table) -> list[str]:
    """The mapped columns and ``extra``, in the order of the COPY."""
    return [*(column.name for column in table.columns), "extra"]


def create(connection: Connection, table: Table, live: Mapping[str, LiveColumn]) -> None:
    """Make the table's staging and seen-keys tables for this session, where they are not there yet.

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


def fill(cursor: Cursor, batch: RowBatch) -> None:
    """Replace what is staged by the batch's rows."""
    name = sql.Identifier(staging_name(batch.table))
    cursor.execute(sql.SQL("TRUNCATE {}").format(name))
    if not len(batch):
        return
    columns = staged_columns(batch.table)
    statement = sql.SQL("COPY {} ({}) FROM STDIN WITH (FORMAT csv, NULL '')").format(
        name, sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    cursor.copy_expert(statement.as_string(cursor), io.BytesIO(_csv([batch.columns[c] for c in columns])))
    cursor.execute(sql.SQL("ANALYZE {}").format(name))


def _csv(columns: Sequence[list[Cell]]) -> memoryview:
    """CSV in which NULL is empty and everything else is quoted, the empty text too."""
    arrays = [pa.array(values, pa.string()) for values in columns]
    table = pa.Table.from_arrays(arrays, names=[str(index) for index in range(len(arrays))])
    sink = pa.BufferOutputStream()
    arrow_csv.write_csv(table, sink, _OPTIONS)
    return memoryview(sink.getvalue())
