"""The merge: staged rows into their table, in one statement.

It inserts what is new and updates only rows that differ, and it names only the columns that the catalog maps:
a column that only the database has is neither read nor written. A row that does not differ is not touched at
all: no new version, no lock, no log. Links are resolved on the way: a column that points at a parent takes the
parent's reference where the parent is there, and is left empty and noted as pending where it is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline.catalog.model import Column, Table
from vantage_pipeline.warehouse.differences import Difference, found_fields, side_by_side
from vantage_pipeline.warehouse.staging import staged_columns, staging_name
from vantage_pipeline.warehouse.tables import LiveColumn

_NAMED = "__named"
"""Suffix of the column that keeps the parent's key as the record has it."""


@dataclass(frozen=True, slots=True)
class MergeCounts:
    """Rows by outcome. `dangling`: links to parents that are not there; `deleted`: rows that a derivation marked."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    dangling: int = 0
    deleted: int = 0

    def __add__(self, other: MergeCounts) -> MergeCounts:
        return MergeCounts(
            self.created + other.created,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.dangling + other.dangling,
            self.deleted + other.deleted,
        )


class Merge:
    """The statements that merge one table's staged rows.

    Args:
        table: what to merge into.
        live: the table's columns as the database has them.
    """

    def __init__(self, table: Table, live: Mapping[str, LiveColumn]) -> None:
        self._table = table
        self._live = live
        self._names = staged_columns(table)
        self._target = sql.Identifier(table.name)
        self._key = sql.Identifier(table.key)

    def run(self, cursor: Cursor, *, held: Iterable[str] = ()) -> MergeCounts:
        """Merge what is staged. Columns in `held` keep their value where the staged one is NULL."""
        counts = sql.SQL(
            "SELECT count(*) FILTER (WHERE created), count(*) FILTER (WHERE NOT created), "
            "(SELECT count(*) FROM resolved), (SELECT count(*) FROM resolved WHERE {dangling}) FROM written"
        ).format(dangling=self._dangling())
        parts = [self._resolved(), self._changed(held), self._written()]
        statement = sql.SQL("WITH {} {}").format(sql.SQL(", ").join(parts), counts)
        cursor.execute(statement)
        row = cursor.fetchone()
        created, updated, staged, dangling = row if row else (0, 0, 0, 0)
        return MergeCounts(created, updated, staged - created - updated, dangling)

    def differences(
        self, cursor: Cursor, *, created: bool, held: Iterable[str] = (), limit: int | None = None
    ) -> list[Difference]:
        """What `run` would write now, field by field: of the rows that it creates, or of those that it changes."""
        if limit == 0:
            return []
        pairs = side_by_side(self._names, old="t", new="c")
        statement = sql.SQL(
            "WITH {resolved}, {changed} "
            "SELECT c.{key}::text, CASE WHEN t.{key} IS NULL THEN 'created' WHEN v.name = 'deleted_at' THEN 'restored'"
            " WHEN v.new IS NULL THEN 'cleared' ELSE 'updated' END, v.name, v.old::text, v.new::text FROM changed c "
            "LEFT JOIN {target} t ON t.{key} = c.{key} CROSS JOIN LATERAL"
            " (VALUES {pairs}, ('deleted_at', to_jsonb(t.deleted_at), NULL)) AS v(name, old, new) "
            "WHERE v.old IS DISTINCT FROM v.new AND t.{key} IS {created} ORDER BY 1, 3 LIMIT {limit}"
        ).format(
            resolved=self._resolved(),
            changed=self._changed(held),
            key=self._key,
            target=self._target,
            pairs=pairs,
            created=sql.SQL("NULL" if created else "NOT NULL"),
            limit=sql.Literal(limit) if limit is not None else sql.SQL("ALL"),
        )
        cursor.execute(statement)
        return found_fields(self._table.name, cursor.fetchall())

    def cleared(self, cursor: Cursor, *, held: Iterable[str] = ()) -> int:
        """How many values `run` would clear now."""
        each = sql.SQL(" + ").join(
            sql.SQL("count(*) FILTER (WHERE t.{c} IS NOT NULL AND c.{c} IS NULL)").format(c=sql.Identifier(name))
            for name in self._names
        )
        cursor.execute(
            sql.SQL("WITH {}, {} SELECT {} FROM changed c JOIN {} t ON t.{} = c.{}").format(
                self._resolved(), self._changed(held), each, self._target, self._key, self._key
            )
        )
        return int((cursor.fetchone() or (0,))[0])

    def note_pending(self, cursor: Cursor, *, resource: str, run_id: str) -> None:
        """Bring the staged rows' entries in ``vantage_pending_links`` to what their links are now."""
        if not self._table.links:
            return
        named = sql.SQL(" UNION ALL ").join(
            sql.SQL(
                "SELECT {key}::text AS row_key, {name} AS column_name, {parent} AS parent_table, "
                "{named} AS parent_key, {column} IS NULL AS missing FROM resolved"
            ).format(
                key=self._key,
                name=sql.Literal(column.name),
                parent=sql.Literal(column.link.table if column.link else ""),
                named=sql.Identifier(column.name + _NAMED),
                column=sql.Identifier(column.name),
            )
            for column in self._table.links
        )
        statement = sql.SQL(
            "WITH {resolved}, named AS ({named}), settled AS ("
            " DELETE FROM vantage_pending_links q USING named n WHERE q.table_name = {table}"
            " AND q.row_key = n.row_key AND q.column_name = n.column_name"
            " AND (n.parent_key IS NULL OR NOT n.missing)) "
            "INSERT INTO vantage_pending_links AS q"
            " (table_name, row_key, column_name, parent_table, parent_key, resource, reason, run_id)"
            " SELECT {table}, row_key, column_name, parent_table, parent_key, {resource},"
            "  CASE WHEN parent_table IN ('investors', 'deals', 'contacts') OR parent_key ~ '^[0-9]+x[0-9]+$'"
            "       THEN 'no such record' ELSE 'not an id' END, {run}"
            " FROM named WHERE parent_key IS NOT NULL AND missing "
            "ON CONFLICT (table_name, row_key, column_name) DO UPDATE SET parent_key = excluded.parent_key,"
            " parent_table = excluded.parent_table, reason = excluded.reason, run_id = excluded.run_id"
            " WHERE q.parent_key IS DISTINCT FROM excluded.parent_key"
        ).format(
            resolved=self._resolved(),
            named=named,
            table=sql.Literal(self._table.name),
            resource=sql.Literal(resource),
            run=sql.Literal(run_id),
        )
        cursor.execute(statement)

    def drop_repairs(self, cursor: Cursor) -> None:
        """Forget the repairs of links that the staged records now give themselves."""
        for column in self._table.columns:
            if column.repaired:
                cursor.execute(
                    sql.SQL(
                        "DELETE FROM vantage_link_repairs q USING {staging} s WHERE q.table_name = {table}"
                        " AND q.column_name = {name} AND q.row_key = s.{key}::text AND s.{column} IS NOT NULL"
                    ).format(
                        staging=sql.Identifier(staging_name(self._table)),
                        table=sql.Literal(self._table.name),
                        name=sql.Literal(column.name),
                        key=self._key,
                        column=sql.Identifier(column.name),
                    )
                )

    def clearings(self, cursor: Cursor, columns: Sequence[str]) -> dict[str, tuple[int, int]]:
        """For each of `columns`: how many of the staged rows' values the merge would clear, of how many.

        A link that a repair keeps is not cleared, nor, in this sense, is one whose parent is not there.
        """
        if not columns:
            return {}
        counts, joins = [], []
        for name in columns:
            given: sql.Composable = sql.SQL("s.{}").format(sql.Identifier(name))
            column = self._column(name)
            if column is not None and column.repaired:
                given, join = self._with_repair(column)
                joins.append(join)
            counts.append(
                sql.SQL("count(*) FILTER (WHERE t.{c} IS NOT NULL AND {given} IS NULL), count(t.{c})").format(
                    c=sql.Identifier(name), given=given
                )
            )
        cursor.execute(
            sql.SQL("SELECT {} FROM {} s JOIN {} t ON t.{} = s.{} {}").format(
                sql.SQL(", ").join(counts),
                sql.Identifier(staging_name(self._table)),
                self._target,
                self._key,
                self._key,
                sql.SQL(" ").join(joins),
            )
        )
        row = cursor.fetchone() or ()
        return {name: (row[2 * index], row[2 * index + 1]) for index, name in enumerate(columns)}

    def of_another_owner(self, cursor: Cursor) -> list[str]:
        """Take from the staging the rows whose key another source owns; gives their keys."""
        if self._table.owner is None:
            return []
        column, value = self._table.owner
        cursor.execute(
            sql.SQL(
                "DELETE FROM {staging} s USING {target} t WHERE t.{key} = s.{key}"
                " AND t.{owner}::text IS DISTINCT FROM {value} RETURNING s.{key}::text"
            ).format(
                staging=sql.Identifier(staging_name(self._table)),
                target=self._target,
                key=self._key,
                owner=sql.Identifier(column),
                value=sql.Literal(value),
            )
        )
        return [key for (key,) in cursor.fetchall()]

    def _resolved(self) -> sql.Composable:
        """The staged rows with their links as references."""
        selected: list[sql.Composable] = []
        joins: list[sql.Composable] = []
        for name in self._names:
            column = self._column(name)
            if column is None or column.link is None or column.link.many:
                selected.append(sql.SQL("s.{}").format(sql.Identifier(name)))
                continue
            value, named, join = self._link(column)
            selected.append(sql.SQL("{} AS {}").format(value, sql.Identifier(name)))
            selected.append(sql.SQL("{} AS {}").format(named, sql.Identifier(name + _NAMED)))
            joins.append(join)
        return sql.SQL("resolved AS MATERIALIZED (SELECT {} FROM {} s {})").format(
            sql.SQL(", ").join(selected), sql.Identifier(staging_name(self._table)), sql.SQL(" ").join(joins)
        )

    def _link(self, column: Column) -> tuple[sql.Composable, sql.Composable, sql.Composable]:
        """A link's value, its name as the record (or a repair) has it, and the joins that find it."""
        link = column.link
        if link is None:
            raise TypeError(f"{column.name} is not a link")
        own, parent = sql.Identifier(column.name), sql.Identifier(f"p_{column.name}")
        joins = []
        named: sql.Composable = sql.SQL("s.{}").format(own)
        if column.repaired:
            named, repair = self._with_repair(column)
            joins.append(repair)
        joins.append(
            sql.SQL("LEFT JOIN {} {p} ON {p}.{} = {}").format(
                sql.Identifier(link.table), sql.Identifier(link.key), named, p=parent
            )
        )
        value: sql.Composable = sql.SQL("{}.{}").format(parent, sql.Identifier(link.ref))
        if link.alias is not None:
            alias = sql.Identifier(f"a_{column.name}")
            joins.append(
                sql.SQL("LEFT JOIN {} {a} ON {a}.{} = {} AND {p}.{} IS NULL").format(
                    sql.Identifier(link.alias.table),
                    sql.Identifier(link.alias.match),
                    named,
                    sql.Identifier(link.key),
                    a=alias,
                    p=parent,
                )
            )
            value = sql.SQL("COALESCE({}, {}.{})").format(value, alias, sql.Identifier(link.alias.value))
        return value, named, sql.SQL(" ").join(joins)

    def _with_repair(self, column: Column) -> tuple[sql.Composable, sql.Composable]:
        """What the staged record or else a repair says of a link, and the join that finds the repair."""
        repair, own = sql.Identifier(f"r_{column.name}"), sql.Identifier(column.name)
        join = sql.SQL(
            "LEFT JOIN vantage_link_repairs {r} ON {r}.table_name = {table} AND {r}.row_key = s.{key}"
            " AND {r}.column_name = {name}"
        ).format(r=repair, table=sql.Literal(self._table.name), key=self._key, name=sql.Literal(column.name))
        return sql.SQL("COALESCE(s.{}, {}.value)").format(own, repair), join

    def _changed(self, held: Iterable[str]) -> sql.Composable:
        """The resolved rows that are new or differ."""
        kept = frozenset(held)
        selected = sql.SQL(", ").join(
            sql.SQL("COALESCE(r.{c}, t.{c}) AS {c}").format(c=sql.Identifier(name))
            if name in kept
            else sql.SQL("r.{}").format(sql.Identifier(name))
            for name in self._names
        )
        theirs = sql.SQL(", ").join(self._comparable("t", name) for name in self._names)
        ours = sql.SQL(", ").join(
            sql.SQL("COALESCE({}, {})").format(self._comparable("r", name), self._comparable("t", name))
            if name in kept
            else self._comparable("r", name)
            for name in self._names
        )
        return sql.SQL(
            "changed AS (SELECT {selected} FROM resolved r LEFT JOIN {target} t ON t.{key} = r.{key}"
            " WHERE t.{key} IS NULL OR t.deleted_at IS NOT NULL OR ROW({theirs}) IS DISTINCT FROM ROW({ours}))"
        ).format(selected=selected, target=self._target, key=self._key, theirs=theirs, ours=ours)

    def _written(self) -> sql.Composable:
        columns = sql.SQL(", ").join(map(sql.Identifier, self._names))
        assignments = sql.SQL(", ").join(
            sql.SQL("{c} = excluded.{c}").format(c=sql.Identifier(name))
            for name in self._names
            if name != self._table.key
        )
        owned: sql.Composable = sql.SQL("")
        if self._table.owner is not None:
            column, value = self._table.owner
            owned = sql.SQL(" WHERE x.{}::text = {}").format(sql.Identifier(column), sql.Literal(value))
        return sql.SQL(
            "written AS (INSERT INTO {target} AS x ({columns}, created_at, updated_at, last_synced_at)"
            " SELECT {columns}, now(), now(), now() FROM changed"
            " ON CONFLICT ({key}) DO UPDATE SET {assignments}, updated_at = now(), last_synced_at = now(),"
            " deleted_at = NULL{owned} RETURNING (xmax = 0) AS created)"
        ).format(target=self._target, columns=columns, key=self._key, assignments=assignments, owned=owned)

    def _dangling(self) -> sql.Composable:
        conditions = [
            sql.SQL("({} IS NOT NULL AND {} IS NULL)").format(
                sql.Identifier(column.name + _NAMED), sql.Identifier(column.name)
            )
            for column in self._table.links
        ]
        return sql.SQL(" OR ").join(conditions) if conditions else sql.SQL("false")

    def _column(self, name: str) -> Column | None:
        return next((column for column in self._table.columns if column.name == name), None)

    def _comparable(self, alias: str, name: str) -> sql.Composable:
        """The column in a form that has equality: ``json`` has none, ``jsonb`` has."""
        cast = sql.SQL("::jsonb") if self._live[name].type_name == "json" else sql.SQL("")
        return sql.SQL("{}.{}{}").format(sql.Identifier(alias), sql.Identifier(name), cast)
