"""What a dry run foresees on its way: of batches, of deletions, and of derivations, by a look before and after."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline.catalog.model import Resource, Table
from vantage_pipeline.records.model import Rejection
from vantage_pipeline.warehouse import differences
from vantage_pipeline.warehouse.differences import Difference, Kind
from vantage_pipeline.warehouse.load_report import LoadReport
from vantage_pipeline.warehouse.merge import Merge, MergeCounts
from vantage_pipeline.warehouse.rederived import WATCHED, Watched, before_name, keep_before


class Foresight:
    """Gathers what one transaction of a dry run would change, and keeps it in the report once that went well."""

    def __init__(self, report: LoadReport) -> None:
        self._report = report
        self._found: list[Difference] = []
        self._cleared = 0

    def begin(self) -> None:
        """A transaction begins, maybe for another time."""
        self._found, self._cleared = [], 0

    def rows(self, cursor: Cursor, merge: Merge, held: Sequence[str]) -> None:
        """What the merge that comes next would create, change and clear."""
        room = self._report.differences.room
        changed = room(Kind.UPDATED, Kind.CLEARED, Kind.RESTORED)
        self._cleared += merge.cleared(cursor, held=held)
        self._found += merge.differences(cursor, created=True, held=held, limit=room(Kind.CREATED))
        self._found += merge.differences(cursor, created=False, held=held, limit=changed)

    def links(self, cursor: Cursor, table: Table, *, dangling: bool) -> None:
        """Which links of the rows just merged wait, and which other rows' links need wait no longer."""
        room = self._report.differences.room
        if dangling:
            self._found += differences.left_pending(cursor, table, room(Kind.PENDING))
        self._found += differences.about_to_link(cursor, table, room(Kind.LINKED))

    def derivation(self, cursor: Cursor, resource: Resource, work: Callable[[Cursor], MergeCounts]) -> MergeCounts:
        """Run `work` and see what it changes."""
        watched = WATCHED.get(resource.derivation or "", ())
        for item in watched:
            keep_before(cursor, item)
        counts = work(cursor)
        kept = self._report.differences.kept
        limit = sql.Literal(kept) if kept is not None else sql.SQL("ALL")
        for item in watched:
            changes = _changes(item)
            cursor.execute(sql.SQL("SELECT count(*) FROM ({}) c WHERE kind = 'cleared'").format(changes))
            self._cleared += int((cursor.fetchone() or (0,))[0])
            cursor.execute(sql.SQL("{} ORDER BY 1, 3 LIMIT {}").format(changes, limit))
            self._found += differences.found_fields(item.table, cursor.fetchall())
            cursor.execute(sql.SQL("DROP TABLE {}").format(before_name(item)))
        return counts

    def keep(self, rejections: Iterable[Rejection] = ()) -> None:
        """The transaction went well."""
        self._report.cleared += self._cleared
        self._report.differences.add([*self._found, *differences.rejected(rejections)])

    def deleted(self, table: Table, keys: Iterable[str]) -> None:
        """Rows were marked as deleted."""
        self._report.differences.add(Difference(table.name, key, Kind.DELETED, "deleted_at") for key in keys)


def _changes(item: Watched) -> sql.Composable:
    """Key, kind, column, old and new value: of each changed field, and of each row that came, went or came back."""
    fields = differences.side_by_side(item.columns, old="b", new="x")
    return sql.SQL(
        "SELECT {key} AS key, v.* FROM {table} x LEFT JOIN {before} b ON b.id = x.id CROSS JOIN LATERAL ("
        " SELECT CASE WHEN b.id IS NULL THEN 'created' WHEN c.new IS NULL THEN 'cleared' ELSE 'updated' END AS kind,"
        "  c.name, c.old::text, c.new::text"
        "  FROM (VALUES {fields}) AS c(name, old, new) WHERE c.old IS DISTINCT FROM c.new"
        " UNION ALL SELECT 'deleted', 'deleted_at', NULL, to_jsonb(x.deleted_at)::text"
        "  WHERE x.deleted_at IS NOT NULL AND b.id IS NOT NULL AND b.deleted_at IS NULL"
        " UNION ALL SELECT 'restored', 'deleted_at', to_jsonb(b.deleted_at)::text, NULL"
        "  WHERE x.deleted_at IS NULL AND b.deleted_at IS NOT NULL) v"
    ).format(key=sql.SQL(item.key), table=sql.Identifier(item.table), before=before_name(item), fields=fields)
