"""Which of some keys are in a table already."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from vantage_pipeline.catalog.model import Table


def present(connection: Connection, table: Table, keys: Iterable[str]) -> set[str]:
    """The keys among `keys` that rows of `table` have."""
    wanted = list(keys)
    if not wanted:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("SELECT {key}::text FROM {table} WHERE {key} = ANY(%s)").format(
                key=sql.Identifier(table.key), table=sql.Identifier(table.name)
            ),
            (wanted,),
        )
        return {key for (key,) in cursor.fetchall()}


def modified(connection: Connection, table: Table, keys: Iterable[str]) -> dict[str, datetime]:
    """When the live rows with these keys last changed in the source, as far as the table knows."""
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("SELECT {key}::text, {modified} FROM {table} WHERE {key} = ANY(%s) AND deleted_at IS NULL").format(
                key=sql.Identifier(table.key),
                modified=sql.Identifier(table.modified),
                table=sql.Identifier(table.name),
            ),
            (list(keys),),
        )
        return {key: moment for key, moment in cursor.fetchall() if moment is not None}
