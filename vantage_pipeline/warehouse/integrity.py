"""Keys and links of the tables: what a valid constraint vouches for, and by counting where none does."""

from __future__ import annotations

from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from vantage_pipeline.catalog.model import Column, Table

_UNIQUE = """
SELECT EXISTS (SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = %s
               WHERE i.indrelid = to_regclass(quote_ident(%s)) AND i.indisunique AND i.indisvalid AND i.indimmediate
                 AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum)
"""
_FOREIGN_KEYS = """
SELECT a.attname, c.convalidated FROM pg_constraint c
JOIN pg_attribute a ON a.attrelid = c.conrelid AND c.conkey = ARRAY[a.attnum]
WHERE c.conrelid = to_regclass(quote_ident(%s)) AND c.contype = 'f'
"""
_TYPE = """
SELECT format_type(atttypid, NULL) FROM pg_attribute
WHERE attrelid = to_regclass(quote_ident(%s)) AND attname = %s
"""


def has_unique_key(connection: Connection, table: Table) -> bool:
    """Whether a unique index keeps the key from occurring twice."""
    return bool(_row(connection, sql.SQL(_UNIQUE), (table.key, table.name)))


def foreign_keys(connection: Connection, table: Table) -> dict[str, bool]:
    """The columns with a foreign key of their own, and whether it is valid for every row."""
    with connection.cursor() as cursor:
        cursor.execute(_FOREIGN_KEYS, (table.name,))
        found = dict(cursor.fetchall())
    connection.rollback()
    return found


def lacking_foreign_keys(connection: Connection, table: Table) -> list[Column]:
    """Links without a foreign key although their types allow one; an older database's may not."""
    there = foreign_keys(connection, table)
    lacking = []
    for column in table.links:
        if column.link is not None and column.name not in there:
            own = _row(connection, sql.SQL(_TYPE), (table.name, column.name))
            parent = _row(connection, sql.SQL(_TYPE), (column.link.table, column.link.ref))
            if own == parent or {own, parent} <= {"bigint", "integer"}:
                lacking.append(column)
    return lacking


def repeated_keys(connection: Connection, table: Table) -> int:
    """Rows beyond the first of their key. None when a valid unique index vouches for it."""
    if has_unique_key(connection, table):
        return 0
    statement = sql.SQL("SELECT count({key}) - count(DISTINCT {key}) FROM {table}").format(
        key=sql.Identifier(table.key), table=sql.Identifier(table.name)
    )
    return int(_row(connection, statement) or 0)


def orphans(connection: Connection, table: Table) -> dict[str, int]:
    """For each link, the rows that point at a row that is not there. A valid foreign key vouches for its column."""
    vouched = {name for name, valid in foreign_keys(connection, table).items() if valid}
    found = {}
    for column in table.links:
        if column.name in vouched or column.link is None:
            continue
        statement = sql.SQL(
            "SELECT count(*) FROM {child} c WHERE c.{column} IS NOT NULL"
            " AND NOT EXISTS (SELECT 1 FROM {parent} p WHERE p.{ref} = c.{column})"
        ).format(
            child=sql.Identifier(table.name),
            column=sql.Identifier(column.name),
            parent=sql.Identifier(column.link.table),
            ref=sql.Identifier(column.link.ref),
        )
        count = int(_row(connection, statement) or 0)
        if count:
            found[column.name] = count
    return found


def empty_required(connection: Connection, table: Table) -> int:
    """Rows of the source in which a required column is empty."""
    conditions = [
        sql.SQL("{} IS NULL").format(sql.Identifier(column.name)) for column in table.columns if column.required
    ]
    owned: sql.Composable = sql.SQL("true")
    if table.owner is not None:
        owned = sql.SQL("{}::text = {}").format(sql.Identifier(table.owner[0]), sql.Literal(table.owner[1]))
    statement = sql.SQL("SELECT count(*) FROM {} WHERE {} AND deleted_at IS NULL AND ({})").format(
        sql.Identifier(table.name), owned, sql.SQL(" OR ").join(conditions)
    )
    return int(_row(connection, statement) or 0)


def unkeyed(connection: Connection, table: Table) -> int:
    """Rows without a key of the source, in a table that has no owner column to tell them by."""
    if table.owner is not None:
        return 0
    statement = sql.SQL("SELECT count(*) FROM {} WHERE {} IS NULL").format(
        sql.Identifier(table.name), sql.Identifier(table.key)
    )
    return int(_row(connection, statement) or 0)


def forgotten_links(connection: Connection, table: Table) -> dict[str, int]:
    """For each link, those noted as waiting for a parent that is there."""
    found = {}
    for column in table.links:
        if column.link is not None:
            statement = sql.SQL(
                "SELECT count(*) FROM vantage_pending_links q JOIN {parent} p ON p.{key} = q.parent_key"
                " WHERE q.table_name = {table} AND q.column_name = {column}"
            ).format(
                parent=sql.Identifier(column.link.table),
                key=sql.Identifier(column.link.key),
                table=sql.Literal(table.name),
                column=sql.Literal(column.name),
            )
            count = int(_row(connection, statement) or 0)
            if count:
                found[column.name] = count
    return found


def _row(connection: Connection, statement: sql.Composable, params: tuple[str, ...] = ()) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement, params or None)
        row = cursor.fetchone()
    connection.rollback()
    return row[0] if row else None
