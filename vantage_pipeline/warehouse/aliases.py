"""Links found through another record, kept in step with it: an agent's user changes its agent, and the invoices
that name the user follow, although they have not changed themselves.

What a record names is in ``extra`` for such links, since the column holds what it led to.
"""

from __future__ import annotations

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline import catalog
from vantage_pipeline.catalog.model import Column, Link, Table
from vantage_pipeline.warehouse.staging import staging_name


def followers(table: str) -> list[tuple[Table, Column, Link]]:
    """The links that may lead through rows of `table`."""
    return [found for found in catalog.links_to(table) if found[2].alias and found[2].alias.table == table]


def follow(cursor: Cursor, table: Table, *, staged: bool, resource: str, run_id: str) -> int:
    """Bring the links that lead through `table` to where its rows lead now; gives how many rows changed.

    Args:
        staged: only those through the rows that are staged; else through any row.
        resource, run_id: for a link that leads nowhere any more, and waits again.
    """
    return sum(
        _follow(cursor, table, child, column, link, staged=staged, resource=resource, run_id=run_id)
        for child, column, link in followers(table.name)
    )


def _follow(
    cursor: Cursor, table: Table, child: Table, column: Column, link: Link, *, staged: bool, resource: str, run_id: str
) -> int:
    alias = link.alias
    if alias is None:
        return 0
    named = sql.SQL("(c.extra::jsonb ->> {})").format(sql.Literal(column.fields[0]))
    among = (
        sql.SQL(" AND a.{key} IN (SELECT {key} FROM {staging})").format(
            key=sql.Identifier(table.key), staging=sql.Identifier(staging_name(table))
        )
        if staged
        else sql.SQL("")
    )
    cursor.execute(
        sql.SQL(
            "WITH moved AS (UPDATE {child} c SET {column} = a.{value}, updated_at = now(), last_synced_at = now()"
            " FROM {alias} a WHERE {named} = a.{match} AND c.{column} IS DISTINCT FROM a.{value}{among}"
            " AND NOT EXISTS (SELECT 1 FROM {parent} p WHERE p.{parent_key} = {named})"
            " RETURNING c.{key}::text AS row_key, c.{column} AS value, {named} AS named), "
            "settled AS (DELETE FROM vantage_pending_links q USING moved m WHERE q.table_name = {child_name}"
            " AND q.column_name = {column_name} AND q.row_key = m.row_key AND m.value IS NOT NULL), "
            "waiting AS (INSERT INTO vantage_pending_links"
            " (table_name, row_key, column_name, parent_table, parent_key, resource, reason, run_id)"
            " SELECT {child_name}, row_key, {column_name}, {parent_name}, named, {resource}, 'no such record', {run}"
            " FROM moved WHERE value IS NULL ON CONFLICT DO NOTHING) "
            "SELECT count(*) FROM moved"
        ).format(
            child=sql.Identifier(child.name),
            child_name=sql.Literal(child.name),
            key=sql.Identifier(child.key),
            column=sql.Identifier(column.name),
            column_name=sql.Literal(column.name),
            alias=sql.Identifier(alias.table),
            match=sql.Identifier(alias.match),
            value=sql.Identifier(alias.value),
            named=named,
            among=among,
            parent=sql.Identifier(link.table),
            parent_key=sql.Identifier(link.key),
            parent_name=sql.Literal(link.table),
            resource=sql.Literal(resource),
            run=sql.Literal(run_id),
        )
    )
    row = cursor.fetchone()
    return int(row[0]) if row else 0
