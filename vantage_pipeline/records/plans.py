"""How each column is made: from one record, and, where that gives the same, from all records at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Any

from vantage_pipeline.catalog.model import Column, Kind, Rule
from vantage_pipeline.records import columns
from vantage_pipeline.records.cells import CellError, CellFunction
from vantage_pipeline.records.columns import Shortcut
from vantage_pipeline.records.model import Cell, Record
from vantage_pipeline.records.rules import RULES


@dataclass(frozen=True, slots=True)
class ColumnType:
    """What a column is in the database at hand, which may differ from the catalog."""

    kind: Kind
    max_length: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """How one column is made: `convert` from one record, `shortcut` from all values of its one field, as they are."""

    column: Column
    convert: Callable[[Record], Cell]
    shortcut: Shortcut | None
    length: int | None


class Fields:
    """The fields of some records as columns, taken in one pass: the records lie scattered in memory."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records
        self._columns: dict[str, Sequence[Any]] = {}
        self._kinds: dict[str, set[type]] = {}
        shape = list(records[0]) if records else []
        self.uniform = len(shape) > 1 and set(map(len, records)) == {len(shape)}
        if self.uniform:
            try:
                taken = zip(*map(itemgetter(*shape), records), strict=True)
                self._columns = dict(zip(shape, taken, strict=True))
            except KeyError:
                self.uniform = False

    def values(self, name: str) -> Sequence[Any]:
        """Each record's value of one field; None where it has none."""
        if name not in self._columns:
            self._columns[name] = [record.get(name) for record in self.records]
        return self._columns[name]

    def kinds(self, name: str) -> set[type]:
        """The types that occur among the values of one field."""
        if name not in self._kinds:
            self._kinds[name] = set(map(type, self.values(name)))
        return self._kinds[name]

    def all_kinds(self) -> set[type]:
        """The types that occur among all values."""
        if self.uniform:
            return set().union(*map(self.kinds, list(self._columns)))
        return set(map(type, chain.from_iterable(map(dict.values, self.records))))

    def counts(self) -> Mapping[str, int]:
        """How many records have each field."""
        if self.uniform:
            return dict.fromkeys(self.records[0], len(self.records))
        return Counter(chain.from_iterable(self.records))

    def rest(self, left_out: Collection[str]) -> list[dict[str, Any]]:
        """Of each record the fields with a value that are not in `left_out`."""
        if self.uniform:
            names = [name for name in self.records[0] if name not in left_out and self.kinds(name) != {type(None)}]
            if all(type(None) not in self.kinds(name) for name in names):
                return [{name: record[name] for name in names} for record in self.records]
        return [
            {name: value for name, value in record.items() if value is not None and name not in left_out}
            for record in self.records
        ]


def at_once(plan: Plan, fields: Fields) -> Sequence[Cell] | None:
    """The column by its shortcut or by its different values; None where only `convert` can tell.

    Raises:
        CellError: a value does not fit.
    """
    column = plan.column
    if not column.fields:
        return [plan.convert({})] * len(fields.records)
    if len(column.fields) > 1:
        return None
    name = column.fields[0]
    values, kinds = fields.values(name), fields.kinds(name)
    if plan.shortcut is not None:
        written = columns.converted(values, kinds, plan.shortcut)
        if written is not None and plan.column.link is not None and "" in written:
            written = [value or None for value in written]
        if written is not None and _vouched(plan, written):
            return written
    return columns.by_distinct(values, kinds, lambda value: plan.convert({name: value}))


def _vouched(plan: Plan, written: Sequence[Cell]) -> bool:
    """Whether all cells hold what is required and are no longer than allowed."""
    if plan.column.required and (None in written or "" in written):
        return False
    return plan.length is None or max(map(len, filter(None, written)), default=0) <= plan.length


def plan_of(
    column: Column, live: ColumnType | None, functions: Mapping[Kind, CellFunction], shortcuts: Mapping[Kind, Shortcut]
) -> Plan:
    """The column's plan for the type that it has in the database."""
    kind = _written_kind(column, live)
    length = min((n for n in (column.max_length, live.max_length if live else None) if n), default=None)
    listed = column.kind is Kind.TEXT_ARRAY and kind is Kind.JSON
    convert = cell_of(column, _in_a_list(functions[kind]) if listed else functions[kind])
    if column.link is not None and not column.link.many:
        convert = _empty_is_none(convert)
    if column.required or length is not None:
        convert = _bounded(convert, required=column.required, length=length)
    plain = column.rule is Rule.AS_IS and len(column.fields) == 1 and not listed
    return Plan(column, convert, shortcuts.get(kind) if plain else None, length)


def _written_kind(column: Column, live: ColumnType | None) -> Kind:
    """The kind whose text the column takes: the database's, but a text column keeps the form of the catalog's kind."""
    linked = column.link is not None and not column.link.many
    kind = Kind.TEXT if linked else live.kind if live else column.kind
    if kind is Kind.TEXT and column.kind is Kind.TEXT_ARRAY:
        return Kind.JSON
    return column.kind if kind is Kind.TEXT and column.kind is not Kind.BIGINT else kind


def _in_a_list(cell: CellFunction) -> CellFunction:
    """For a list that is kept as JSON: a bare text stands for a list of one there too."""
    return lambda value: cell([value] if isinstance(value, str) else value)


def cell_of(column: Column, cell: CellFunction) -> Callable[[Record], Cell]:
    """The column's rule followed by its cell function."""
    if column.rule is Rule.AS_IS and len(column.fields) == 1:
        name = column.fields[0]

        def plain(record: Record) -> Cell:
            value = record.get(name)
            return None if value is None else cell(value)

        return plain
    rule = RULES[column.rule]

    def ruled(record: Record) -> Cell:
        value = rule(record, column)
        return None if value is None else cell(value)

    return ruled


def _bounded(convert: Callable[[Record], Cell], *, required: bool, length: int | None) -> Callable[[Record], Cell]:
    def bounded(record: Record) -> Cell:
        value = convert(record)
        if value is None or (required and not value):
            if required:
                raise CellError("REQUIRED_FIELD_MISSING", "a value is required and there is none")
            return None
        if length is not None and len(value) > length:
            raise CellError("TOO_LONG", f"expected at most {length} characters, got {len(value)}")
        return value

    return bounded


def _empty_is_none(convert: Callable[[Record], Cell]) -> Callable[[Record], Cell]:
    def linked(record: Record) -> Cell:
        return convert(record) or None

    return linked
