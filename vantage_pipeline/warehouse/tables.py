"""What a synced table looks like in the database at hand, which may be older than our migrations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg2.extensions import connection as Connection

from vantage_pipeline.catalog.model import Kind, Table
from vantage_pipeline.errors import MigrationsMissing
from vantage_pipeline.records.plans import ColumnType

BOOKKEEPING = ("created_at", "updated_at", "last_synced_at", "deleted_at", "extra")

_KINDS = {
    "int2": Kind.INTEGER,
    "int4": Kind.INTEGER,
    "int8": Kind.BIGINT,
    "numeric": Kind.NUMERIC,
    "float4": Kind.NUMERIC,
    "float8": Kind.NUMERIC,
    "bool": Kind.BOOLEAN,
    "date": Kind.DATE,
    "timestamp": Kind.TIMESTAMP,
    "timestamptz": Kind.TIMESTAMP,
    "json": Kind.JSON,
    "jsonb": Kind.JSON,
    "_text": Kind.TEXT_ARRAY,
    "_varchar": Kind.TEXT_ARRAY,
}

_COLUMNS = """
SELECT a.attname, t.typname, CASE WHEN t.typname IN ('varchar', 'bpchar') AND a.atttypmod > 4
                                  THEN a.atttypmod - 4 END
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = to_regclass(quote_ident(%s)) AND a.attnum > 0 AND NOT a.attisdropped
"""


@dataclass(frozen=True, slots=True)
class LiveColumn:
    """A column as the database has it."""

    type_name: str
    """PostgreSQL's internal name, such as ``timestamptz``."""
    type: ColumnType


def inspect(connection: Connection, table: Table) -> Mapping[str, LiveColumn]:
    """The table's columns by name.

    Raises:
        MigrationsMissing: the table or a column that a sync writes is not there.
    """
    with connection.cursor() as cursor:
        cursor.execute(_COLUMNS, (table.name,))
        live = {
            name: LiveColumn(type_name, ColumnType(_KINDS.get(type_name, Kind.TEXT), length))
            for name, type_name, length in cursor.fetchall()
        }
    needed = [column.name for column in table.columns] + list(BOOKKEEPING)
    missing = [name for name in needed if name not in live]
    if missing:
        what = f"table {table.name}" if not live else f"{table.name}.{', '.join(missing)}"
        raise MigrationsMissing(f"{what} is missing in the database; run: vantage-pipeline migrate up")
    return live


def column_types(live: Mapping[str, LiveColumn]) -> dict[str, ColumnType]:
    """The types that the mapping has to produce."""
    return {name: column.type for name, column in live.items()}
