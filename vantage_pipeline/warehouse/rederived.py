"""What a derivation would change now: run in a transaction that is undone, and compared with what was there before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline.catalog.model import Resource
from vantage_pipeline.errors import WarehouseError
from vantage_pipeline.warehouse import refusals
from vantage_pipeline.warehouse.differences import side_by_side
from vantage_pipeline.warehouse.merge import MergeCounts
from vantage_pipeline.warehouse.verdict import Kind, Mismatch, Verdict

_TRIES = 3
_POSITION_KEY = (
    "(SELECT coalesce(external_id, '#' || id) FROM investors WHERE id = x.investor_id) || ':' ||"
    " (SELECT coalesce(external_id, '#' || id) FROM deals WHERE id = x.deal_id)"
)


@dataclass(frozen=True, slots=True)
class Watched:
    """Columns of a table that a derivation makes; `key` is SQL over its row ``x``."""

    table: str
    key: str
    columns: tuple[str, ...]


WATCHED: dict[str, tuple[Watched, ...]] = {
    "investments": (
        Watched(
            "investments",
            _POSITION_KEY,
            (
                "committed", "contributed", "distributed", "repurchased", "uncalled", "first_transaction_date",
                "last_transaction_date", "latest_nav", "latest_nav_date",
            ),
        ),
    ),
    "bubble_links": (
        Watched("invoice", "x.bubble_id", ("linked_seda_registration", "total_amount")),
        Watched("seda_registration", "x.bubble_id", ("linked_customer",)),
        Watched("invoice_item", "x.bubble_id", ("linked_invoice",)),
        Watched("submitted_payment", "x.bubble_id", ("became_payment",)),
    ),
}  # fmt: skip

_OLDER_THAN_ITS_INPUTS = """
SELECT coalesce(max(i.completed_at) FILTER (WHERE i.resource <> %(own)s)
              > coalesce(max(i.started_at) FILTER (WHERE i.resource = %(own)s), '-infinity'), false)
       OR coalesce(bool_or(i.last_sync_status = 'running'), false)
FROM vantage_sync_state i WHERE i.resource = %(own)s OR i.resource = ANY(%(inputs)s)
"""


def rederive(
    connection: Connection, resource: Resource, work: Callable[[Cursor], MergeCounts], *, shown: int
) -> Verdict:
    """Hold what `work` would write against what is there. Where its inputs were synced after it, it waits for its turn.

    Raises:
        WarehouseError: the derivation failed.
    """
    for remaining in reversed(range(_TRIES)):
        try:
            with connection.cursor() as cursor:
                return _compared(cursor, resource, work, shown=shown)
        except psycopg2.Error as error:
            connection.rollback()
            if remaining and error.pgcode in refusals.AGAIN:
                continue
            raise refusals.explained(error, resource.state) from error
        finally:
            connection.rollback()
    raise WarehouseError("unreachable")


def _compared(cursor: Cursor, resource: Resource, work: Callable[[Cursor], MergeCounts], *, shown: int) -> Verdict:
    watched = WATCHED[resource.derivation or ""]
    cursor.execute(_OLDER_THAN_ITS_INPUTS, {"own": resource.state, "inputs": list(resource.requires)})
    waits = bool((cursor.fetchone() or (False,))[0])
    cursor.execute("CREATE TEMP TABLE rederived (tab text, key text, kind text, field text, here text, source text)")
    for item in watched:
        keep_before(cursor, item)
    work(cursor)
    rows = 0
    for item in watched:
        cursor.execute(_told(item))
        cursor.execute(sql.SQL("SELECT count(*) FROM {} WHERE deleted_at IS NULL").format(_name(item)))
        rows = max(rows, int((cursor.fetchone() or (0,))[0]))
    cursor.execute("SELECT kind, count(DISTINCT (tab, key)) FROM rederived GROUP BY 1")
    counts = dict(cursor.fetchall())
    cursor.execute("SELECT tab, key, kind, field, here, source FROM rederived ORDER BY 1, 2, 4 LIMIT %s", (shown,))
    found = tuple(Mismatch(tab, key, Kind(kind), *rest) for tab, key, kind, *rest in cursor.fetchall())
    if waits:
        return Verdict(resource.asset, records=rows, rows=rows, waiting=sum(counts.values()))
    missing, extra = counts.get(Kind.MISSING, 0), counts.get(Kind.EXTRA, 0)
    return Verdict(
        resource.asset,
        records=rows,
        rows=rows - missing + extra,
        missing=missing,
        extra=extra,
        changed=counts.get(Kind.FIELD, 0),
        mismatches=found,
    )


def _name(item: Watched) -> sql.Identifier:
    return sql.Identifier(item.table)


def before_name(item: Watched) -> sql.Identifier:
    """The temporary table with the watched columns as they were."""
    return sql.Identifier(f"before_{item.table}")


def keep_before(cursor: Cursor, item: Watched) -> None:
    """Keep the watched columns as they are now."""
    cursor.execute(
        sql.SQL("CREATE TEMP TABLE {} AS SELECT id, deleted_at, {} FROM {}").format(
            before_name(item), sql.SQL(", ").join(map(sql.Identifier, item.columns)), _name(item)
        )
    )


def _told(item: Watched) -> sql.Composable:
    """Each column that is not what it was; a whole row once."""
    fields = side_by_side(item.columns, old="b", new="x")
    return sql.SQL(
        "INSERT INTO rederived SELECT {table_name}, {key}, v.kind, v.field, v.here #>> '{{}}', v.source #>> '{{}}'"
        " FROM {table} x LEFT JOIN {before} b ON b.id = x.id CROSS JOIN LATERAL ("
        "  SELECT {missing} AS kind, '' AS field, NULL::jsonb AS here, NULL::jsonb AS source"
        "   WHERE x.deleted_at IS NULL AND (b.id IS NULL OR b.deleted_at IS NOT NULL)"
        "  UNION ALL SELECT {extra}, '', NULL, NULL WHERE x.deleted_at IS NOT NULL AND b.id IS NOT NULL"
        "   AND b.deleted_at IS NULL"
        "  UNION ALL SELECT {field}, c.* FROM (VALUES {fields}) AS c(field, here, source)"
        "   WHERE b.id IS NOT NULL AND (b.deleted_at IS NULL) = (x.deleted_at IS NULL)"
        "   AND c.here IS DISTINCT FROM c.source) v"
    ).format(
        table_name=sql.Literal(item.table),
        key=sql.SQL(item.key),
        table=_name(item),
        before=before_name(item),
        missing=sql.Literal(Kind.MISSING.value),
        extra=sql.Literal(Kind.EXTRA.value),
        field=sql.Literal(Kind.FIELD.value),
        fields=fields,
    )
