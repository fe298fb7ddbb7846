"""Foreign keys that older rows broke when they were added: what breaks them still, and their validation once mended."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

_LOCK_WAIT = "100ms"
_UNVALIDATED = """
SELECT n.nspname, t.relname, c.conname, pn.nspname, p.relname,
       ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY k (number, place)
             JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number ORDER BY k.place),
       ARRAY(SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY k (number, place)
             JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.number ORDER BY k.place),
       EXISTS (SELECT 1 FROM vantage_schema_objects o
               WHERE o.kind = 'constraint' AND o.name = t.relname || '.' || c.conname AND n.nspname = 'public')
FROM pg_constraint c
JOIN pg_class t ON t.oid = c.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
JOIN pg_class p ON p.oid = c.confrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
WHERE c.contype = 'f' AND NOT c.convalidated ORDER BY 1, 2, 3
"""


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A foreign key that holds for new rows only. `ours`: a migration of this project added it."""

    table: tuple[str, str]
    name: str
    parent: tuple[str, str]
    columns: tuple[str, ...]
    parent_columns: tuple[str, ...]
    ours: bool

    @property
    def place(self) -> str:
        schema, table = self.table
        return f"{table}.{self.name}" if schema == "public" else f"{schema}.{table}.{self.name}"


def unvalidated(connection: Connection) -> list[ForeignKey]:
    """The foreign keys that are not validated, whoever added them."""
    with connection.cursor() as cursor:
        cursor.execute(_UNVALIDATED)
        found = [
            ForeignKey((schema, table), name, (parent_schema, parent), tuple(columns), tuple(parent_columns), ours)
            for schema, table, name, parent_schema, parent, columns, parent_columns, ours in cursor.fetchall()
        ]
    connection.rollback()
    return found


def breaking_rows(connection: Connection, key: ForeignKey) -> int:
    """How many rows point at a row that is not there."""
    filled = sql.SQL(" AND ").join(sql.SQL("c.{} IS NOT NULL").format(sql.Identifier(name)) for name in key.columns)
    same = sql.SQL(" AND ").join(
        sql.SQL("p.{} = c.{}").format(sql.Identifier(theirs), sql.Identifier(own))
        for own, theirs in zip(key.columns, key.parent_columns, strict=True)
    )
    statement = sql.SQL("SELECT count(*) FROM {} c WHERE {} AND NOT EXISTS (SELECT 1 FROM {} p WHERE {})").format(
        sql.Identifier(*key.table), filled, sql.Identifier(*key.parent), same
    )
    with connection.cursor() as cursor:
        cursor.execute(statement)
        row = cursor.fetchone()
    connection.rollback()
    return int(row[0]) if row else 0


def validate_mended(connection: Connection) -> list[str]:
    """Validate the foreign keys of our migrations that no row breaks any more; gives those that it validated.

    What cannot be done now (a lock that another session holds, a table that is not ours, a row that came meanwhile)
    is left for the next time. Each is a transaction of its own; the connection must have none open.
    """
    done = []
    try:
        for key in unvalidated(connection):
            if key.ours and not breaking_rows(connection, key) and _validate(connection, key):
                done.append(key.place)
    except psycopg2.Error:
        with suppress(psycopg2.Error):
            connection.rollback()
    return done


def _validate(connection: Connection, key: ForeignKey) -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", (_LOCK_WAIT,))
            cursor.execute(
                sql.SQL("ALTER TABLE {} VALIDATE CONSTRAINT {}").format(
                    sql.Identifier(*key.table), sql.Identifier(key.name)
                )
            )
        connection.commit()
    except psycopg2.Error:
        with suppress(psycopg2.Error):
            connection.rollback()
        return False
    return True
