"""Sums of money per fund, per investor and per invoice: the source's records against the table's rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline.catalog.model import Table
from vantage_pipeline.warehouse.comparison import differing_name, of_another_owner, ours_name, theirs_name
from vantage_pipeline.warehouse.gathering import refused_name
from vantage_pipeline.warehouse.tables import LiveColumn
from vantage_pipeline.warehouse.verdict import WrongSum


@dataclass(frozen=True, slots=True)
class _Sum:
    table: str
    column: str
    per: str
    link: str


_NUMBER = r"^\s*[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?\s*$"
_PER_FUND = ("transactions", "commitments")
_SUMS = (
    *(_Sum(table, "amount", "fund", "deal_id") for table in _PER_FUND),
    *(_Sum(table, "amount", "investor", "investor_id") for table in _PER_FUND),
    _Sum("transactions", "amount_usd", "fund", "deal_id"),
    _Sum("transactions", "amount_usd", "investor", "investor_id"),
    _Sum("valuations", "nav", "fund", "deal_id"),
    _Sum("payment", "amount", "invoice", "linked_invoice"),
    _Sum("submitted_payment", "amount", "invoice", "linked_invoice"),
    _Sum("invoice_item", "amount", "invoice", "linked_invoice"),
)


def create(cursor: Cursor) -> None:
    """The temporary table of sums that differ."""
    cursor.execute("CREATE TEMP TABLE wrong_sums (tab text, col text, per text, grp text, here text, source text)")


def find_sums(cursor: Cursor, table: Table, live: Mapping[str, LiveColumn]) -> None:
    """Note the groups whose sums differ, leaving out records that wait for the next sync or cannot become rows."""
    for item in _SUMS:
        if item.table == table.name:
            cursor.execute(_statement(item, table, live))


def listed(cursor: Cursor, table: Table, *, shown: int) -> tuple[int, tuple[WrongSum, ...]]:
    """How many sums of the table differ, and the first of them."""
    cursor.execute("SELECT count(*) FROM wrong_sums WHERE tab = %s", (table.name,))
    count = int((cursor.fetchone() or (0,))[0])
    cursor.execute("SELECT * FROM wrong_sums WHERE tab = %s ORDER BY per, col, grp LIMIT %s", (table.name, shown))
    return count, tuple(WrongSum(*row) for row in cursor.fetchall())


def _statement(item: _Sum, table: Table, live: Mapping[str, LiveColumn]) -> sql.Composable:
    left_out = sql.SQL("(SELECT key FROM {} WHERE waiting UNION ALL SELECT key FROM {})").format(
        differing_name(table.name), refused_name(table.name)
    )
    return sql.SQL(
        "INSERT INTO wrong_sums SELECT {table}, {column}, {per}, coalesce(grp, '(none)'),"
        " coalesce(sum(here), 0), coalesce(sum(source), 0) FROM ("
        "SELECT t.{link} AS grp, {ours_money} AS here, NULL::numeric AS source FROM {ours} t"
        " WHERE t.__deleted_at IS NULL AND t.__key NOT IN {left_out} UNION ALL "
        "SELECT s.{link}, NULL, {theirs_money} FROM {theirs} s WHERE s.__key NOT IN {left_out} AND NOT {foreign}) m"
        " GROUP BY grp HAVING coalesce(sum(here), 0) <> coalesce(sum(source), 0)"
    ).format(
        table=sql.Literal(item.table),
        column=sql.Literal(item.column),
        per=sql.Literal(item.per),
        link=sql.Identifier(item.link),
        ours_money=_money("t", item.column, live),
        theirs_money=_money("s", item.column, live),
        ours=ours_name(table.name),
        theirs=theirs_name(table.name),
        left_out=left_out,
        foreign=of_another_owner(table, sql.SQL("s.__key")),
    )


def _money(alias: str, name: str, live: Mapping[str, LiveColumn]) -> sql.Composable:
    """The amount as an exact number; an older database may hold it as text."""
    column = sql.SQL("{}.{}").format(sql.Identifier(alias), sql.Identifier(name))
    if live[name].type_name in ("text", "varchar", "bpchar"):
        return sql.SQL(
            r"CASE WHEN {c} ~ '^\s*[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?\s*$' THEN {c}::numeric END"
        ).format(c=column)
    return sql.SQL("{}::numeric").format(column)
