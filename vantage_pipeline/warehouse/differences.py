"""What a dry run would change, one field, row or record at a time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline.catalog.model import Table
from vantage_pipeline.records.model import Rejection
from vantage_pipeline.warehouse.staging import staging_name


class Kind(Enum):
    """What would become of a field, a row, a record or a link."""

    CREATED = "created"
    UPDATED = "updated"
    CLEARED = "cleared"
    RESTORED = "restored"
    DELETED = "deleted"
    REJECTED = "rejected"
    PENDING = "pending"
    LINKED = "linked"


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of a row that would be created or changed, or one row, record or link of another kind.

    `old` and `new` are JSON values. For a rejected record `new` says why; for a link that waits, or that no longer
    does, it is the key of the record that the link names.
    """

    table: str
    key: str
    kind: Kind
    column: str
    old: object = None
    new: object = None


def found_fields(table: str, rows: Iterable[tuple[str, str, str, str | None, str | None]]) -> list[Difference]:
    """Differences from rows of key, kind, column, old and new value, these as the text of JSON: numbers stay exact."""
    return [
        Difference(table, key, Kind(kind), column, _value(old), _value(new)) for key, kind, column, old, new in rows
    ]


def side_by_side(columns: Iterable[str], *, old: str, new: str) -> sql.Composable:
    """SQL rows of a column's name, its value in `old` and that in `new`, as JSON; these are aliases of rows."""
    return sql.SQL(", ").join(
        sql.SQL("({name}, to_jsonb({old}.{column}), to_jsonb({new}.{column}))").format(
            name=sql.Literal(name), column=sql.Identifier(name), old=sql.Identifier(old), new=sql.Identifier(new)
        )
        for name in columns
    )


def _value(text: str | None) -> object:
    return None if text is None else json.loads(text, parse_float=Decimal)


@dataclass
class Differences:
    """The differences found so far: the first `kept` of each kind, or all for None."""

    kept: int | None = None
    found: list[Difference] = field(default_factory=list)
    _counts: Counter[Kind] = field(default_factory=Counter)

    def __iter__(self) -> Iterator[Difference]:
        return iter(self.found)

    def room(self, *kinds: Kind) -> int | None:
        """How many more of these kinds are kept at most; None for all."""
        return None if self.kept is None else max(0, *(self.kept - self._counts[kind] for kind in kinds))

    def add(self, differences: Iterable[Difference]) -> None:
        """Keep those for which there is room."""
        for difference in differences:
            if self.kept is None or self._counts[difference.kind] < self.kept:
                self._counts[difference.kind] += 1
                self.found.append(difference)


def rejected(rejections: Iterable[Rejection]) -> list[Difference]:
    """Records that would go into quarantine."""
    return [
        Difference(r.table, r.record_key, Kind.REJECTED, r.field, None, f"{r.code}: {r.message}") for r in rejections
    ]


def left_pending(cursor: Cursor, table: Table, limit: int | None) -> list[Difference]:
    """Links of the staged rows that wait for their record."""
    return _links(cursor, table, Kind.PENDING, "q.table_name = {table} AND q.row_key = s.{key}::text", limit)


def about_to_link(cursor: Cursor, table: Table, limit: int | None) -> list[Difference]:
    """Links that have waited for the staged rows."""
    return _links(cursor, table, Kind.LINKED, "q.parent_table = {table} AND q.parent_key = s.{key}::text", limit)


def _links(cursor: Cursor, table: Table, kind: Kind, condition: str, limit: int | None) -> list[Difference]:
    if limit == 0:
        return []
    cursor.execute(
        sql.SQL(
            "SELECT DISTINCT q.table_name, q.row_key, q.column_name, q.parent_key FROM vantage_pending_links q"
            " JOIN {staging} s ON {condition} ORDER BY 1, 2, 3 LIMIT {limit}"
        ).format(
            staging=sql.Identifier(staging_name(table)),
            condition=sql.SQL(condition).format(table=sql.Literal(table.name), key=sql.Identifier(table.key)),
            limit=sql.Literal(limit) if limit is not None else sql.SQL("ALL"),
        )
    )
    return [Difference(name, key, kind, column, None, parent) for name, key, column, parent in cursor.fetchall()]
