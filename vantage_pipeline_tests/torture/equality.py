"""After a quiet sync: the tables against the source, record by record, and against a database loaded once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from psycopg2 import sql

from vantage_pipeline import catalog
from vantage_pipeline.catalog.model import Column, Kind, Link, Resource, Table
from vantage_pipeline_tests.database import Database
from vantage_pipeline_tests.torture import expected
from vantage_pipeline_tests.torture.expected import Refused
from vantage_pipeline_tests.torture.source_edits import Source

Row = dict[str, Any]
_DEBT = "SELECT table_name, row_key, column_name, parent_key FROM vantage_pending_links"


class Held:
    """The rows that a database holds, with links as keys of the source."""

    def __init__(self, database: Database, tables: Iterable[Table]) -> None:
        self.database = database
        self.rows: dict[str, dict[str, Row]] = {table.name: _read(database, table) for table in tables}
        self.pending = {(t, k, c): parent for t, k, c, parent in database.rows(_DEBT)}
        self.repairs = {
            (t, k, c): value
            for t, k, c, value in database.rows(
                "SELECT table_name, row_key, column_name, value FROM vantage_link_repairs"
            )
        }
        self.refused = {
            (t, k)
            for t, k in database.rows("SELECT table_name, record_key FROM vantage_quarantine WHERE resolved_at IS NULL")
        }

    def has(self, table: str, key: str) -> bool:
        if table not in self.rows:
            self.rows[table] = _read(self.database, catalog.table(table))
        return key in self.rows[table]

    def gone(self, table: str, key: Any) -> bool:
        """Whether a row is there of which the source no longer has the record."""
        return self.has(table, key) and self.rows[table][key]["deleted_at"] is not None


def equal_to_source(
    held: Held, source: Source, resources: Iterable[tuple[Resource, str]], foreign_keys: set[str], *, complete: bool
) -> int:
    """Every record of the source is in its table, value by value, or accounted for; gives the rows compared.

    Args:
        complete: after a full sync; then what the source no longer has is marked as deleted, and nothing waits in
            quarantine that is not refused now.
    """
    compared = 0
    for resource, type_name in resources:
        table = resource.datasets[0].table
        there, keys, bad = held.rows[table.name], set(source.keys(type_name)), set()
        for key in keys:
            record = source.get(type_name, key)
            try:
                if table.owner and key in foreign_keys:
                    raise Refused("of another source")
                wanted = expected.row(table, record)
            except Refused:
                bad.add(key)
                assert (table.name, key) in held.refused, f"{table.name} {key} is refused, but not in quarantine"
                continue
            assert (table.name, key) not in held.refused, f"{table.name} {key} arrived well and is in quarantine still"
            assert key in there, f"{table.name} {key} is in the source and not in the table"
            _same(held, table, key, wanted, there[key])
            compared += 1
        for key in there.keys() - keys - foreign_keys:
            assert not complete or there[key]["deleted_at"] is not None, f"{table.name} {key} is gone, but not marked"
        if complete:
            over = {key for name, key in held.refused if name == table.name} - bad
            assert not over, f"{table.name} {over} in quarantine: the source has no such record that is refused"
    return compared


def _same(held: Held, table: Table, key: str, wanted: Row, row: Row) -> None:
    assert row["deleted_at"] is None, f"{table.name} {key} is marked as deleted, but the source has it"
    for name, value in wanted.items():
        column = next((c for c in table.columns if c.name == name), None)
        if column is not None and column.link is not None and not column.link.many:
            _link_is_right(held, table, key, column, column.link, value, row[name])
        else:
            found = expected.plain(row[name])
            assert found == expected.plain(value), f"{table.name} {key}: {name} is {found!r}, not {value!r}"


def _link_is_right(
    held: Held, table: Table, key: str, column: Column, link: Link, named: str | None, found: Any
) -> None:
    """The parent where it is there, waiting where it is not; where the source names none, none or a repair."""
    place = (table.name, key, column.name)
    where = f"{table.name} {key}: {column.name}"
    if named is None:
        repaired = held.repairs.get(place) if column.repaired else None
        assert found == repaired, f"{where} is {found!r}, though the source names none (repaired to {repaired!r})"
        assert place not in held.pending, f"{where} waits for {held.pending.get(place)}, though the source names none"
        return
    target: str | None = named if held.has(link.table, named) else None
    if target is None and link.alias is not None and held.has(link.alias.table, named):
        target = held.rows[link.alias.table][named][link.alias.value]
    assert found == target, f"{where} is {found!r}, not {target!r} (the source names {named!r})"
    waiting = held.pending.get(place)
    assert waiting == (named if target is None else None), (
        f"{where} waits for {waiting!r}, it names {named!r}, {target!r}"
    )


def equal_to_fresh(lived: Held, fresh: Held, tables: Iterable[Table]) -> int:
    """What went through a history equals what was loaded once. A link may still lead to a row marked as deleted,
    where the fresh database waits for a record that the source does not have.
    """
    compared = 0
    for table in tables:
        alive = {key: row for key, row in lived.rows[table.name].items() if row["deleted_at"] is None}
        assert alive.keys() == fresh.rows[table.name].keys(), table.name
        links = {column.name: column.link for column in table.columns if column.link and not column.link.many}
        for key, row in alive.items():
            compared += 1
            for name, value in fresh.rows[table.name][key].items():
                same = expected.plain(row[name]) == expected.plain(value)
                link = links.get(name)
                kept = (
                    link is not None and value is None and _kept(lived, fresh, link, (table.name, key, name), row[name])
                )
                assert same or kept, f"{table.name} {key}: {name} is {row[name]!r}, loaded fresh it is {value!r}"
    names = {table.name for table in tables}
    assert {r for r in lived.refused if r[0] in names} == {r for r in fresh.refused if r[0] in names}
    return compared


def _kept(lived: Held, fresh: Held, link: Link, place: tuple[str, str, str], found: Any) -> bool:
    """Whether a link leads to, or through, a row that is marked as deleted, and is none where that row is not."""
    named = fresh.pending.get(place)
    through = link.alias is not None and lived.gone(link.alias.table, named)
    return lived.gone(link.table, found) or through


def positions(database: Database) -> dict[tuple[str, str], tuple[Any, ...]]:
    """The derived positions by account and fund."""
    rows = database.rows(
        "SELECT i.external_id, d.external_id, x.committed, x.contributed, x.distributed, x.repurchased, x.uncalled,"
        " x.first_transaction_date, x.last_transaction_date FROM investments x JOIN investors i ON i.id = x.investor_id"
        " JOIN deals d ON d.id = x.deal_id WHERE x.deleted_at IS NULL AND i.deleted_at IS NULL AND d.deleted_at IS NULL"
    )
    return {(account, fund): tuple(figures) for account, fund, *figures in rows}


def nothing_is_orphaned(database: Database, tables: Iterable[Table]) -> None:
    """No key twice, no link that leads nowhere, whether or not the database has a constraint for it."""
    for table in tables:
        key, name = sql.Identifier(table.key), sql.Identifier(table.name)
        statements = [
            sql.SQL("SELECT {k}::text, 'twice' FROM {t} WHERE {k} IS NOT NULL GROUP BY {k} HAVING count(*) > 1").format(
                k=key, t=name
            )
        ]
        for column in table.links:
            if column.link:
                statements.append(
                    sql.SQL("SELECT c.{k}::text, {c_name} FROM {t} c LEFT JOIN {p} p ON p.{r} = c.{c} WHERE c.{c} IS NOT NULL AND p.{r} IS NULL").format(
                        k=key, t=name, c=sql.Identifier(column.name), c_name=sql.Literal(column.name),
                        p=sql.Identifier(column.link.table), r=sql.Identifier(column.link.ref),
                    )
                )  # fmt: skip
        with database.cursor() as cursor:
            cursor.execute(sql.SQL(" UNION ALL ").join(statements))
            found = cursor.fetchall()
        assert not found, f"{table.name}: {found}"


def _read(database: Database, table: Table) -> dict[str, Row]:
    """The table's rows by key: mapped columns, ``extra`` and ``deleted_at``; links by the key of their parent."""
    selected, joins, names = [], [], []
    for number, column in enumerate(table.columns):
        names.append(column.name)
        link = column.link
        if link is not None and not link.many and link.ref != link.key:
            alias = sql.Identifier(f"p{number}")
            selected.append(sql.SQL("{}.{}").format(alias, sql.Identifier(link.key)))
            joins.append(
                sql.SQL("LEFT JOIN {} {} ON {}.{} = t.{}").format(
                    sql.Identifier(link.table), alias, alias, sql.Identifier(link.ref), sql.Identifier(column.name)
                )
            )
        else:
            cast = "::text" if column.kind is Kind.JSON or column.name == "source_kind" else ""
            selected.append(sql.SQL("t.{}" + cast).format(sql.Identifier(column.name)))
    statement = sql.SQL("SELECT t.{}::text, t.deleted_at, t.extra::text, {} FROM {} t {} WHERE t.{} IS NOT NULL").format(
        sql.Identifier(table.key), sql.SQL(", ").join(selected), sql.Identifier(table.name), sql.SQL(" ").join(joins),
        sql.Identifier(table.key),
    )  # fmt: skip
    as_json = {column.name for column in table.columns if column.kind is Kind.JSON}
    found = {}
    with database.cursor() as cursor:
        cursor.execute(statement)
        for key, deleted_at, extra, *values in cursor.fetchall():
            row: Row = dict(zip(names, values, strict=True))
            row |= {name: expected.from_json(row[name]) for name in as_json}
            found[key] = {**row, "extra": expected.from_json(extra), "deleted_at": deleted_at}
    return found


def tables_of(resources: Iterable[tuple[Resource, str]]) -> list[Table]:
    return [resource.datasets[0].table for resource, _ in resources]


def by_type(types: Mapping[str, str]) -> list[tuple[Resource, str]]:
    """(resource, type) for a history's types: type name to resource name."""
    return [(catalog.find(name), type_name) for type_name, name in types.items()]
