"""Gathered records held against the tables, in SQL, in one read-only snapshot.

For each table two views of the session: `theirs`, what the source's records should be here, and `ours`, what is
here; in both a link is its parent's key. Differences go to a temporary table, so that counts are exact whatever
is shown of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline.catalog.model import Column, Link, Table
from vantage_pipeline.warehouse.gathering import refused_name, source_name
from vantage_pipeline.warehouse.staging import staged_columns
from vantage_pipeline.warehouse.tables import LiveColumn
from vantage_pipeline.warehouse.verdict import Kind

_KEY, _MODIFIED, _DELETED, _SYNCED = map(sql.Identifier, ("__key", "__modified", "__deleted_at", "__synced_at"))


@dataclass(frozen=True, slots=True)
class Moment:
    """When a resource was read and how far it was synced; both decide what only waits.

    Attributes:
        began: when reading began, by the database's clock: rows that a sync wrote since are newer than the reading.
        settled: what the source changed before this is here; None for a resource that was never synced.
    """

    began: datetime
    settled: datetime | None


def theirs_name(table: str) -> sql.Identifier:
    return sql.Identifier(f"theirs_{table}")


def ours_name(table: str) -> sql.Identifier:
    return sql.Identifier(f"ours_{table}")


def differing_name(table: str) -> sql.Identifier:
    """The temporary table of differences: key, kind, field, here, source, waiting."""
    return sql.Identifier(f"differing_{table}")


def prepare(cursor: Cursor, table: Table, live: Mapping[str, LiveColumn]) -> None:
    """Make the table's views and its table of differences, outside the snapshot, which may create nothing."""
    cursor.execute(sql.SQL("CREATE TEMP VIEW {} AS {}").format(theirs_name(table.name), _theirs(table, live)))
    cursor.execute(sql.SQL("CREATE TEMP VIEW {} AS {}").format(ours_name(table.name), _ours(table, live)))
    cursor.execute(
        sql.SQL(
            "CREATE TEMP TABLE {} (key text NOT NULL, kind text NOT NULL, field text NOT NULL, here text, source text,"
            " waiting boolean NOT NULL)"
        ).format(differing_name(table.name))
    )


def account_for_quarantine(cursor: Cursor, table: Table) -> None:
    """Records that can become rows, as far as the mapping knows, but are in quarantine: they are not compared."""
    cursor.execute(
        sql.SQL(
            "INSERT INTO {refused} SELECT q.record_key, q.code || ': ' || q.message FROM vantage_quarantine q"
            " WHERE q.table_name = {name} AND q.resolved_at IS NULL"
            " AND EXISTS (SELECT 1 FROM {source} s WHERE s.{key}::text = q.record_key) ON CONFLICT DO NOTHING"
        ).format(
            refused=refused_name(table.name),
            name=sql.Literal(table.name),
            source=source_name(table.name),
            key=sql.Identifier(table.key),
        )
    )


def find_rows(cursor: Cursor, table: Table, moment: Moment) -> None:
    """Rows that one side has and the other lacks. A row of another owner is neither."""
    foreign: sql.Composable = sql.SQL("")
    if table.owner is not None:
        foreign = sql.SQL(" AND NOT ") + of_another_owner(table, sql.SQL("s.{}").format(sql.Identifier(table.key)))
    cursor.execute(
        sql.SQL(
            "INSERT INTO {differing}"
            " SELECT s.{key}::text, {missing}, '', CASE WHEN t.{k} IS NOT NULL THEN 'marked deleted' END, NULL,"
            "  %(settled)s::timestamptz IS NULL OR coalesce(s.{modified} >= %(settled)s, false)"
            "  OR coalesce(t.{synced} >= %(began)s, false)"
            " FROM {source} s LEFT JOIN {ours} t ON t.{k} = s.{key}::text"
            " WHERE (t.{k} IS NULL OR t.{deleted} IS NOT NULL){foreign}"
            "  AND NOT EXISTS (SELECT 1 FROM {refused} r WHERE r.key = s.{key}::text)"
            " UNION ALL"
            " SELECT t.{k}, {extra}, '', NULL, NULL,"
            "  %(settled)s::timestamptz IS NULL OR coalesce(t.{synced} >= %(began)s, false)"
            " FROM {ours} t WHERE t.{deleted} IS NULL"
            "  AND NOT EXISTS (SELECT 1 FROM {source} s WHERE s.{key}::text = t.{k})"
            "  AND NOT EXISTS (SELECT 1 FROM {refused} r WHERE r.key = t.{k})"
        ).format(
            differing=differing_name(table.name),
            source=source_name(table.name),
            ours=ours_name(table.name),
            refused=refused_name(table.name),
            key=sql.Identifier(table.key),
            modified=sql.Identifier(table.modified),
            k=_KEY,
            deleted=_DELETED,
            synced=_SYNCED,
            missing=sql.Literal(Kind.MISSING.value),
            extra=sql.Literal(Kind.EXTRA.value),
            foreign=foreign,
        ),
        {"settled": moment.settled, "began": moment.began},
    )


def find_fields(cursor: Cursor, table: Table, moment: Moment) -> None:
    """Fields that differ, of records that both sides have. A version that is not here yet waits for the next sync."""
    names = [name for name in staged_columns(table) if name != table.key]

    def listed(alias: str) -> sql.Composable:
        return sql.SQL(", ").join(sql.SQL("{}.{}").format(sql.Identifier(alias), sql.Identifier(n)) for n in names)

    fields = sql.SQL(", ").join(
        sql.SQL("({}, to_jsonb(t.{c}), to_jsonb(s.{c}))").format(sql.Literal(name), c=sql.Identifier(name))
        for name in names
    )
    cursor.execute(
        sql.SQL(
            "INSERT INTO {differing}"
            " SELECT s.{k}, {field}, v.field, v.here #>> '{{}}', v.source #>> '{{}}',"
            "  %(settled)s::timestamptz IS NULL OR coalesce(t.{synced} >= %(began)s, false)"
            "  OR coalesce(s.{modified} >= %(settled)s AND s.{modified} IS DISTINCT FROM t.{modified}, false)"
            " FROM {theirs} s JOIN {ours} t ON t.{k} = s.{k}"
            " CROSS JOIN LATERAL (VALUES {fields}) AS v(field, here, source)"
            " WHERE NOT EXISTS (SELECT 1 FROM {refused} r WHERE r.key = t.{k})"
            " AND t.{deleted} IS NULL AND ROW({a}) IS DISTINCT FROM ROW({b}) AND v.here IS DISTINCT FROM v.source"
        ).format(
            differing=differing_name(table.name),
            theirs=theirs_name(table.name),
            ours=ours_name(table.name),
            refused=refused_name(table.name),
            field=sql.Literal(Kind.FIELD.value),
            k=_KEY,
            deleted=_DELETED,
            synced=_SYNCED,
            modified=_MODIFIED,
            fields=fields,
            a=listed("s"),
            b=listed("t"),
        ),
        {"settled": moment.settled, "began": moment.began},
    )


def let_links_wait(cursor: Cursor, table: Table) -> None:
    """A link to a record that itself waits for the next sync is filled in with it. After all tables are compared."""
    for column in table.links:
        if column.link is not None:
            cursor.execute(
                sql.SQL(
                    "UPDATE {differing} d SET waiting = true FROM {parents} p WHERE d.kind = {field}"
                    " AND d.field = {name} AND p.key = d.source AND p.kind = {missing} AND p.waiting"
                ).format(
                    differing=differing_name(table.name),
                    parents=differing_name(column.link.table),
                    name=sql.Literal(column.name),
                    field=sql.Literal(Kind.FIELD.value),
                    missing=sql.Literal(Kind.MISSING.value),
                )
            )


def of_another_owner(table: Table, key: sql.Composable) -> sql.Composable:
    """Whether a row of another source has the key."""
    if table.owner is None:
        return sql.SQL("false")
    return sql.SQL(
        "EXISTS (SELECT 1 FROM {target} o WHERE o.{own} = {key} AND o.{column}::text IS DISTINCT FROM {value})"
    ).format(
        target=sql.Identifier(table.name),
        own=sql.Identifier(table.key),
        key=key,
        column=sql.Identifier(table.owner[0]),
        value=sql.Literal(table.owner[1]),
    )


def _theirs(table: Table, live: Mapping[str, LiveColumn]) -> sql.Composable:
    links = {column.name: column for column in table.links}
    selected: list[sql.Composable] = []
    named: list[sql.Composable] = []
    for name in staged_columns(table):
        if name == table.key:
            continue
        if name not in links:
            selected.append(sql.SQL("{} AS {}").format(_comparable("s", name, live), sql.Identifier(name)))
            continue
        alias = sql.Identifier(f"named_{name}")
        named.append(sql.SQL(" CROSS JOIN LATERAL (SELECT {} AS key) {}").format(_named(table, links[name]), alias))
        value = _expected(links[name].link, sql.SQL("{}.key").format(alias))
        selected.append(sql.SQL("{} AS {}").format(value, sql.Identifier(name)))
    return sql.SQL("SELECT s.{}::text AS {}, s.{} AS {}, {} FROM {} s{}").format(
        sql.Identifier(table.key), _KEY, sql.Identifier(table.modified), _MODIFIED,
        sql.SQL(", ").join(selected), source_name(table.name), sql.SQL("").join(named),
    )  # fmt: skip


def _named(table: Table, column: Column) -> sql.Composable:
    """The parent's key as the record has it, or as a repair filled it in."""
    own = sql.SQL("s.{}").format(sql.Identifier(column.name))
    if not column.repaired:
        return own
    return sql.SQL(
        "coalesce({own}, (SELECT r.value FROM vantage_link_repairs r WHERE r.table_name = {table}"
        " AND r.row_key = s.{key}::text AND r.column_name = {name}))"
    ).format(own=own, table=sql.Literal(table.name), key=sql.Identifier(table.key), name=sql.Literal(column.name))


def _expected(link: Link | None, named: sql.Composable) -> sql.Composable:
    """The parent's key if the source or the table has the parent, directly or by an alias; NULL where neither has."""
    if link is None:
        raise TypeError("not a link")
    value = sql.SQL("CASE WHEN {} THEN {} END").format(_known(link, named), named)
    if link.alias is None:
        return value
    found = sql.SQL(
        "(SELECT CASE WHEN {known} THEN a.key END FROM (SELECT coalesce("
        "(SELECT u.{value} FROM {source} u WHERE u.{match} = {named}),"
        "(SELECT u.{value} FROM {target} u WHERE u.{match} = {named} LIMIT 1)) AS key) a)"
    ).format(
        known=_known(link, sql.SQL("a.key")),
        value=sql.Identifier(link.alias.value),
        match=sql.Identifier(link.alias.match),
        source=source_name(link.alias.table),
        target=sql.Identifier(link.alias.table),
        named=named,
    )
    return sql.SQL("coalesce({}, {})").format(value, found)


def _known(link: Link, key: sql.Composable) -> sql.Composable:
    return sql.SQL(
        "(EXISTS (SELECT 1 FROM {source} p WHERE p.{own} = {key}) OR EXISTS"
        " (SELECT 1 FROM {target} p WHERE p.{own} = {key}))"
    ).format(source=source_name(link.table), target=sql.Identifier(link.table), own=sql.Identifier(link.key), key=key)


def _ours(table: Table, live: Mapping[str, LiveColumn]) -> sql.Composable:
    links = {column.name: column.link for column in table.links}
    selected: list[sql.Composable] = []
    joins: list[sql.Composable] = []
    for name in staged_columns(table):
        if name == table.key:
            continue
        link = links.get(name)
        own = sql.SQL("t.{}").format(sql.Identifier(name))
        if link is None:
            value = _comparable("t", name, live)
        elif link.ref == link.key:
            value = sql.SQL("{}::text").format(own)
        else:
            parent = sql.Identifier(f"p_{name}")
            joins.append(
                sql.SQL(" LEFT JOIN {} {p} ON {p}.{} = {}").format(
                    sql.Identifier(link.table), sql.Identifier(link.ref), own, p=parent
                )
            )
            value = sql.SQL("coalesce({}.{}::text, '#' || {}::text)").format(parent, sql.Identifier(link.key), own)
        selected.append(sql.SQL("{} AS {}").format(value, sql.Identifier(name)))
    owned: sql.Composable = sql.SQL("")
    if table.owner is not None:
        owned = sql.SQL(" AND t.{}::text = {}").format(sql.Identifier(table.owner[0]), sql.Literal(table.owner[1]))
    return sql.SQL(
        "SELECT t.{key}::text AS {k}, t.{modified} AS {m}, t.deleted_at AS {d}, t.last_synced_at AS {y}, {columns}"
        " FROM {table} t{joins} WHERE t.{key} IS NOT NULL{owned}"
    ).format(
        key=sql.Identifier(table.key), k=_KEY, modified=sql.Identifier(table.modified), m=_MODIFIED, d=_DELETED,
        y=_SYNCED, columns=sql.SQL(", ").join(selected), table=sql.Identifier(table.name),
        joins=sql.SQL("").join(joins), owned=owned,
    )  # fmt: skip


def _comparable(alias: str, name: str, live: Mapping[str, LiveColumn]) -> sql.Composable:
    """The column in a form that has equality: ``json`` has none, ``jsonb`` has."""
    cast = sql.SQL("::jsonb") if live[name].type_name == "json" else sql.SQL("")
    return sql.SQL("{}.{}{}").format(sql.Identifier(alias), sql.Identifier(name), cast)
