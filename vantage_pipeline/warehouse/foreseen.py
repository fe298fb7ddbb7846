"""What a derivation changes, seen by comparing the columns that it makes before and after it."""

from __future__ import annotations

from collections.abc import Callable

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline.catalog.model import Resource
from vantage_pipeline.warehouse.differences import Difference, Kind
from vantage_pipeline.warehouse.merge import MergeCounts
from vantage_pipeline.warehouse.rederived import WATCHED, Watched, before_name, keep_before


def foresee(
    cursor: Cursor, resource: Resource, work: Callable[[Cursor], MergeCounts], *, limit: int | None
) -> tuple[MergeCounts, int, list[Difference]]:
    """Run `work`; gives its counts, how many values it cleared, and the first `limit` differences of each table."""
    watched = WATCHED.get(resource.derivation or "", ())
    for item in watched:
        keep_before(cursor, item)
    counts = work(cursor)
    cleared, found = 0, list[Difference]()
    for item in watched:
        changes = _changes(item)
        cursor.execute(sql.SQL("SELECT count(*) FROM ({}) c WHERE kind = %s").format(changes), (Kind.CLEARED.value,))
        cleared += int((cursor.fetchone() or (0,))[0])
        most = sql.Literal(limit) if limit is not None else sql.SQL("ALL")
        cursor.execute(sql.SQL("{} ORDER BY 1, 3 LIMIT {}").format(changes, most))
        found += [Difference(item.table, key, Kind(kind), *rest) for key, kind, *rest in cursor.fetchall()]
        cursor.execute(sql.SQL("DROP TABLE {}").format(before_name(item)))
    return counts, cleared, found


def _changes(item: Watched) -> sql.Composable:
    """Key, kind, column, old and new value: of each changed field, and of each row that came, went or came back."""
    fields = sql.SQL(", ").join(
        sql.SQL("({}, to_jsonb(b.{c}), to_jsonb(x.{c}))").format(sql.Literal(name), c=sql.Identifier(name))
        for name in item.columns
    )
    return sql.SQL(
        "SELECT {key} AS key, v.* FROM {table} x LEFT JOIN {before} b ON b.id = x.id CROSS JOIN LATERAL ("
        " SELECT CASE WHEN b.id IS NULL THEN 'created' WHEN c.new IS NULL THEN 'cleared' ELSE 'updated' END AS kind,"
        "  c.name, c.old, c.new"
        "  FROM (VALUES {fields}) AS c(name, old, new) WHERE c.old IS DISTINCT FROM c.new"
        " UNION ALL SELECT 'deleted', 'deleted_at', NULL, to_jsonb(x.deleted_at)"
        "  WHERE x.deleted_at IS NOT NULL AND b.id IS NOT NULL AND b.deleted_at IS NULL"
        " UNION ALL SELECT 'restored', 'deleted_at', to_jsonb(b.deleted_at), NULL"
        "  WHERE x.deleted_at IS NULL AND b.deleted_at IS NOT NULL) v"
    ).format(key=sql.SQL(item.key), table=sql.Identifier(item.table), before=before_name(item), fields=fields)
