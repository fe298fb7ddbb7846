"""The comparison of what was gathered with the tables: one snapshot, one verdict a resource."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline.catalog.model import Resource, Table
from vantage_pipeline.warehouse import comparison, guard, sums
from vantage_pipeline.warehouse.comparison import Moment, differing_name, ours_name
from vantage_pipeline.warehouse.gathering import Workspace, refused_name, source_name
from vantage_pipeline.warehouse.guard import HeldBack
from vantage_pipeline.warehouse.verdict import Accounted, Kind, Mismatch, Verdict, WrongSum


def compare(
    workspace: Workspace, tables: Sequence[Table], moments: Mapping[str, Moment], resources: Sequence[Resource], *,
    shown: int,
) -> list[Verdict]:  # fmt: skip
    """Hold the gathered records of `resources` against their tables.

    Args:
        tables: all of the system's tables, gathered or not.
        moments: for each resource's state name, when it was read and how far it was synced.
        shown: how many differences of a resource are listed; all are counted.
    """
    connection = workspace.connection
    with connection.cursor() as cursor:
        for table in tables:
            comparison.prepare(cursor, table, workspace.live[table.name])
        sums.create(cursor)
        connection.commit()
        # the snapshot; what is written into the session's own temporary tables is no write to PostgreSQL
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        read = [(dataset.table, moments[resource.state]) for resource in resources for dataset in resource.datasets]
        for table, moment in read:
            comparison.account_for_quarantine(cursor, table)
            comparison.find_rows(cursor, table, moment)
            comparison.find_fields(cursor, table, moment)
        for table, _ in read:
            comparison.let_links_wait(cursor, table)
        for table, _ in read:
            sums.find_sums(cursor, table, workspace.live[table.name])
        verdicts = [_verdict(cursor, resource, shown=shown) for resource in resources]
    connection.commit()
    return verdicts


def mass_cleared(workspace: Workspace, table: Table, *, share: float, records: int) -> frozenset[str]:
    """Columns (``table.column``) that the source would empty in so many rows that a sync would hold that back."""
    with workspace.connection.cursor() as cursor:
        cursor.execute(
            sql.SQL(
                "SELECT field, count(*) FROM {} WHERE kind = %s AND NOT waiting AND source IS NULL GROUP BY 1"
            ).format(differing_name(table.name)),
            (Kind.FIELD.value,),
        )
        held = []
        for name, cleared in cursor.fetchall():
            cursor.execute(
                sql.SQL("SELECT count({}) FROM {} WHERE __deleted_at IS NULL").format(
                    sql.Identifier(name), ours_name(table.name)
                )
            )
            filled = int((cursor.fetchone() or (0,))[0])
            if cleared >= records and cleared >= share * filled:
                held.append(f"{table.name}.{name}")
    workspace.connection.commit()
    return frozenset(held)


def mass_missing(workspace: Workspace, table: Table, *, share: float, records: int) -> HeldBack | None:
    """The rows that the source does not have, all of them, where a sync would hold back so many deletions."""
    with workspace.connection.cursor() as cursor:
        cursor.execute(
            sql.SQL("SELECT count(DISTINCT key) FROM {} WHERE kind = %s AND NOT waiting").format(
                differing_name(table.name)
            ),
            (Kind.EXTRA.value,),
        )
        gone = int((cursor.fetchone() or (0,))[0])
        rows = _count(cursor, ours_name(table.name), " WHERE __deleted_at IS NULL")
    workspace.connection.commit()
    if guard.too_many(gone, rows, share=share, records=records):
        return HeldBack(table.name, "delete", "", gone, gone / max(rows, 1))
    return None


def differing_keys(workspace: Workspace, table: Table, *kinds: Kind, size: int = 1_000) -> Iterator[list[str]]:
    """The keys that differ in one of these ways and do not merely wait, in slices."""
    after = ""
    while True:
        with workspace.connection.cursor() as cursor:
            cursor.execute(
                sql.SQL(
                    'SELECT DISTINCT key COLLATE "C" FROM {} WHERE NOT waiting AND kind = ANY(%s)'
                    ' AND key COLLATE "C" > %s ORDER BY 1 LIMIT %s'
                ).format(differing_name(table.name)),
                ([kind.value for kind in kinds], after, size),
            )
            keys = [key for (key,) in cursor.fetchall()]
        workspace.connection.commit()
        if not keys:
            return
        yield keys
        after = keys[-1]


def _verdict(cursor: Cursor, resource: Resource, *, shown: int) -> Verdict:
    counts = dict.fromkeys(("records", "rows", "waiting", "quarantined", "pending", "wrong_sums", *Kind), 0)
    mismatches: list[Mismatch] = []
    wrong: list[WrongSum] = []
    accounted: list[Accounted] = []
    for dataset in resource.datasets:
        table = dataset.table
        cursor.execute(
            sql.SQL("SELECT count(*) FROM (SELECT {}::text FROM {} UNION SELECT key FROM {}) k").format(
                sql.Identifier(table.key), source_name(table.name), refused_name(table.name)
            )
        )
        counts["records"] += int((cursor.fetchone() or (0,))[0])
        counts["rows"] += _count(cursor, ours_name(table.name), " WHERE __deleted_at IS NULL")
        cursor.execute(
            sql.SQL("SELECT kind, waiting, count(DISTINCT key) FROM {} GROUP BY 1, 2").format(
                differing_name(table.name)
            )
        )
        for kind, waiting, number in cursor.fetchall():
            counts["waiting" if waiting else Kind(kind)] += number
        cursor.execute(
            sql.SQL(
                "SELECT key, kind, field, here, source FROM {} WHERE NOT waiting ORDER BY kind, key, field LIMIT %s"
            ).format(differing_name(table.name)),
            (shown - len(mismatches),),
        )
        mismatches.extend(Mismatch(table.name, key, Kind(kind), *rest) for key, kind, *rest in cursor.fetchall())
        number, found = sums.listed(cursor, table, shown=shown)
        counts["wrong_sums"] += number
        wrong.extend(found)
        counts["quarantined"] += _count(cursor, refused_name(table.name))
        counts["pending"] += _pending(cursor, table)
        accounted.extend(_accounted(cursor, table, shown=shown - len(accounted)))
    return Verdict(
        resource.asset,
        records=counts["records"],
        rows=counts["rows"],
        missing=counts[Kind.MISSING],
        extra=counts[Kind.EXTRA],
        changed=counts[Kind.FIELD],
        wrong_sums=counts["wrong_sums"],
        waiting=counts["waiting"],
        quarantined=counts["quarantined"],
        pending=counts["pending"],
        mismatches=tuple(mismatches),
        sums=tuple(wrong[:shown]),
        accounted=tuple(accounted),
    )


def _count(cursor: Cursor, relation: sql.Identifier, condition: str = "") -> int:
    cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(relation) + sql.SQL(condition))
    return int((cursor.fetchone() or (0,))[0])


def _pending(cursor: Cursor, table: Table) -> int:
    cursor.execute("SELECT count(*) FROM vantage_pending_links WHERE table_name = %s", (table.name,))
    return int((cursor.fetchone() or (0,))[0])


def _accounted(cursor: Cursor, table: Table, *, shown: int) -> list[Accounted]:
    """Records in quarantine, records whose key another source owns, and links that wait for a parent, by name."""
    cursor.execute(
        sql.SQL(
            "SELECT key, 'in quarantine: ' || why FROM {refused} UNION ALL"
            " SELECT s.{key}::text, 'a row of another source has the key' FROM {source} s WHERE {foreign}"
            "  AND NOT EXISTS (SELECT 1 FROM {refused} r WHERE r.key = s.{key}::text) UNION ALL"
            " SELECT row_key, column_name || ' waits for ' || parent_table || ' ' || parent_key || ': ' || reason"
            " FROM vantage_pending_links WHERE table_name = {name} AND reason <> 'not an id' ORDER BY 1, 2 LIMIT %s"
        ).format(
            refused=refused_name(table.name),
            key=sql.Identifier(table.key),
            source=source_name(table.name),
            foreign=comparison.of_another_owner(table, sql.SQL("s.{}").format(sql.Identifier(table.key))),
            name=sql.Literal(table.name),
        ),
        (max(0, shown),),
    )
    return [Accounted(table.name, key, why) for key, why in cursor.fetchall()]
