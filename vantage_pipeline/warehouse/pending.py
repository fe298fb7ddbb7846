"""Links whose parent was not there when their row was written: filled in when it arrives."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline import catalog
from vantage_pipeline.catalog.model import Column, Link, Table
from vantage_pipeline.warehouse import aliases


def complete(cursor: Cursor, table: Table, *, resource: str, run_id: str) -> int:
    """Complete the links of other rows that lead to, or through, what was just staged and merged; gives how many."""
    waiting = waiting_for(cursor, table.name)
    filled = fill_in(cursor, waiting) if waiting else 0
    moved = aliases.follow(cursor, table, staged=True, resource=resource, run_id=run_id)
    for through in {child.name: child for child, _, _ in waiting if filled and child.name != table.name}.values():
        moved += aliases.follow(cursor, through, staged=False, resource=resource, run_id=run_id)
    return filled + moved


def waiting_for(cursor: Cursor, table: str) -> list[tuple[Table, Column, Link]]:
    """The links to rows of `table` (or found through it) that wait for their parent."""
    links = catalog.links_to(table)
    parents = sorted({link.table for _, _, link in links})
    if not parents:
        return []
    cursor.execute(
        "SELECT DISTINCT table_name, column_name FROM vantage_pending_links WHERE parent_table = ANY(%s)", (parents,)
    )
    waiting = set(cursor.fetchall())
    return [found for found in links if (found[0].name, found[1].name) in waiting]


def fill_in(cursor: Cursor, links: Sequence[tuple[Table, Column, Link]]) -> int:
    """Complete the given links where their parent is there now; gives how many rows were completed."""
    return sum(_fill_in(cursor, child, column, link) for child, column, link in links)


def _fill_in(cursor: Cursor, child: Table, column: Column, link: Link) -> int:
    value: sql.Composable = sql.SQL("p.{}").format(sql.Identifier(link.ref))
    join: sql.Composable = sql.SQL("LEFT JOIN {} p ON p.{} = q.parent_key").format(
        sql.Identifier(link.table), sql.Identifier(link.key)
    )
    if link.alias is not None:
        join = sql.SQL("{} LEFT JOIN {} a ON a.{} = q.parent_key").format(
            join, sql.Identifier(link.alias.table), sql.Identifier(link.alias.match)
        )
        value = sql.SQL("COALESCE({}, a.{})").format(value, sql.Identifier(link.alias.value))
    statement = sql.SQL(
        "WITH found AS (SELECT q.row_key, {value} AS ref FROM vantage_pending_links q {join}"
        " WHERE q.table_name = {child_name} AND q.column_name = {column_name} AND {value} IS NOT NULL), "
        "filled AS (UPDATE {child} c SET {column} = found.ref, updated_at = now(), last_synced_at = now()"
        " FROM found WHERE c.{key} = found.row_key AND c.{column} IS DISTINCT FROM found.ref RETURNING 1), "
        "settled AS (DELETE FROM vantage_pending_links q USING found WHERE q.table_name = {child_name}"
        " AND q.column_name = {column_name} AND q.row_key = found.row_key) "
        "SELECT count(*) FROM filled"
    ).format(
        value=value,
        join=join,
        child=sql.Identifier(child.name),
        child_name=sql.Literal(child.name),
        column=sql.Identifier(column.name),
        column_name=sql.Literal(column.name),
        key=sql.Identifier(child.key),
    )
    cursor.execute(statement)
    row = cursor.fetchone()
    return int(row[0]) if row else 0


def any_of(cursor: Cursor, table: Table) -> bool:
    """Whether links of the table's rows wait."""
    if not table.links:
        return False
    cursor.execute("SELECT EXISTS (SELECT 1 FROM vantage_pending_links WHERE table_name = %s)", (table.name,))
    row = cursor.fetchone()
    return bool(row and row[0])
