"""Records to rows, a column at a time: `Mapper.map` turns a page into a `RowBatch`.

A column is converted in one comprehension; only when a value does not fit is the column gone through again,
value by value, to find out which records to reject and why.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from vantage_pipeline.catalog.model import Column, Kind, Rule, Table
from vantage_pipeline.records import cells
from vantage_pipeline.records.cells import CellError, CellFunction
from vantage_pipeline.records.decode import depth, encode, encode_raw, has_unstorable_text
from vantage_pipeline.records.model import Cell, Page, Record, Rejection, RowBatch
from vantage_pipeline.records.rules import RULES

EXTRA = "extra"
_LONGEST_KEY = 500
"""Characters: what an index takes, with room for another column beside it."""


@dataclass(frozen=True, slots=True)
class ColumnType:
    """What a column is in the database at hand, which may differ from the catalog."""

    kind: Kind
    max_length: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one record: encoded bytes and nesting of lists and objects."""

    record_bytes: int = 8 * 2**20
    nesting: int = 32


class Mapper:
    """Maps the records of one table.

    Args:
        table: what to map to.
        zone: the zone of times that carry none.
        types: the columns' types in the database, where they differ from the catalog's kinds.
        limits: bounds on one record.
    """

    def __init__(
        self,
        table: Table,
        *,
        zone: ZoneInfo,
        types: Mapping[str, ColumnType] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._table = table
        self._limits = limits or Limits()
        functions = cells.functions(zone)
        live = types or {}
        self._columns = [(column, _converter(column, live.get(column.name), functions)) for column in table.columns]
        self._key = table.column(table.key)
        self._key_cell = _cell_of(self._key, functions[Kind.TEXT])
        kept = {name for column in table.columns if column.keep_raw for name in column.fields}
        self._not_extra = table.fields - kept

    def map(self, page: Page) -> RowBatch:
        """The page as rows; records that cannot be mapped as rejections."""
        rejections: list[Rejection] = []
        records, keys, repeated = self._distinct(page.records, rejections)
        fetched = len(records) + len(rejections)
        records, keys = self._within_limits(records, keys, clean=page.clean, rejections=rejections)
        fields: Counter[str] = Counter()
        for record in records:
            fields.update(record.keys())

        columns: dict[str, list[Cell]] = {}
        refused: dict[int, Rejection] = {}
        for column, convert in self._columns:
            if column.name == self._table.key:
                columns[column.name] = list(keys)
                continue
            try:
                columns[column.name] = [convert(record) for record in records]
            except CellError:
                columns[column.name] = self._one_by_one(column, convert, records, keys, refused)
        columns[EXTRA] = self._extra(records)

        if refused:
            stay = [index for index in range(len(records)) if index not in refused]
            columns = {name: [values[index] for index in stay] for name, values in columns.items()}
            records = [records[index] for index in stay]
            rejections.extend(refused[index] for index in sorted(refused))
        return RowBatch(
            table=self._table,
            columns=columns,
            records=records,
            rejections=tuple(rejections),
            fetched=fetched,
            repeated=repeated,
            fields=fields,
        )

    def _distinct(self, found: Sequence[Any], rejections: list[Rejection]) -> tuple[list[Record], list[str], int]:
        """Records with a usable key, the last of those that share one, in order of first appearance."""
        by_key: dict[str, Record] = {}
        without = 0
        for record in found:
            if not isinstance(record, dict):
                rejections.append(
                    self._reject(record, None, "NOT_A_RECORD", "", f"expected an object, got {cells.shown(record)}")
                )
                without += 1
                continue
            try:
                key = self._key_cell(record)
            except CellError as error:
                rejections.append(self._reject(record, None, error.code, self._key.fields[0], str(error)))
                without += 1
                continue
            if not key:
                message = f"the record has no {self._key.fields[0]}, which is its key"
                rejections.append(self._reject(record, None, "REQUIRED_FIELD_MISSING", self._key.fields[0], message))
                without += 1
                continue
            if len(key) > _LONGEST_KEY:
                message = f"expected a key of at most {_LONGEST_KEY} characters, got {cells.shown(key)}"
                rejections.append(self._reject(record, None, "TOO_LONG", self._key.fields[0], message))
                without += 1
                continue
            by_key[key] = record
        return list(by_key.values()), list(by_key), len(found) - without - len(by_key)

    def _within_limits(
        self, records: list[Record], keys: list[str], *, clean: bool, rejections: list[Rejection]
    ) -> tuple[list[Record], list[str]]:
        refused: set[int] = set()
        for index, record in enumerate(records):
            problem = self._limit_broken(record, clean=clean)
            if problem is not None:
                refused.add(index)
                rejections.append(self._reject(record, keys[index], problem[0], problem[1], problem[2]))
        if not refused:
            return records, keys
        stay = [index for index in range(len(records)) if index not in refused]
        return [records[index] for index in stay], [keys[index] for index in stay]

    def _limit_broken(self, record: Record, *, clean: bool) -> tuple[str, str, str] | None:
        size = 0
        for name, value in record.items():
            kind = type(value)
            if kind is str:
                size += len(value)
            elif kind is list or kind is dict:
                if depth(value, self._limits.nesting) > self._limits.nesting:
                    return "TOO_DEEP", name, f"expected at most {self._limits.nesting} levels of nesting"
                size += len(encode_raw(value))
        if size > self._limits.record_bytes:
            return "TOO_LARGE", "", f"expected at most {self._limits.record_bytes} bytes a record, got {size}"
        if not clean and has_unstorable_text(record):
            field = next((name for name, value in record.items() if has_unstorable_text({name: value})), "")
            return (
                "UNSTORABLE_TEXT",
                field,
                "the text holds a NUL or a lone surrogate, which PostgreSQL cannot store",
            )
        return None

    def _one_by_one(
        self,
        column: Column,
        convert: Callable[[Record], Cell],
        records: Sequence[Record],
        keys: Sequence[str],
        refused: dict[int, Rejection],
    ) -> list[Cell]:
        values: list[Cell] = []
        for index, record in enumerate(records):
            try:
                values.append(convert(record))
            except CellError as error:
                values.append(None)
                if index not in refused:
                    field = column.fields[0] if column.fields else column.name
                    message = f"{field}: {error}"
                    refused[index] = self._reject(record, keys[index], error.code, field, message)
        return values

    def _extra(self, records: Sequence[Record]) -> list[Cell]:
        left_out = self._not_extra
        rest = (
            {name: value for name, value in record.items() if name not in left_out and value is not None}
            for record in records
        )
        return [encode(fields) if fields else None for fields in rest]

    def _reject(self, record: object, key: str | None, code: str, field: str, message: str) -> Rejection:
        raw = encode_raw(record)
        known = key or f"unkeyed:{hashlib.sha256(raw.encode('utf-8', 'replace')).hexdigest()[:24]}"
        return Rejection(
            table=self._table.name,
            record_key=known.encode("utf-8", "replace").decode().replace("\x00", "\ufffd"),
            code=code,
            field=field,
            message=message,
            record=raw,
        )


def _cell_of(column: Column, cell: CellFunction) -> Callable[[Record], Cell]:
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


def _converter(
    column: Column, live: ColumnType | None, functions: Mapping[Kind, CellFunction]
) -> Callable[[Record], Cell]:
    kind = live.kind if live else column.kind
    if column.link is not None and not column.link.many:
        kind = Kind.TEXT
    cell = functions[kind]
    if kind is Kind.TEXT and column.kind is Kind.TEXT_ARRAY:
        cell = functions[Kind.JSON]
    elif kind is Kind.TEXT and column.kind not in (Kind.TEXT, Kind.BIGINT):
        cell = functions[column.kind]
    convert = _cell_of(column, cell)
    if column.link is not None and not column.link.many:
        convert = _empty_is_none(convert)
    length = min((n for n in (column.max_length, live.max_length if live else None) if n), default=None)
    if not column.required and length is None:
        return convert

    def bounded(record: Record) -> Cell:
        value = convert(record)
        if value is None or (column.required and not value):
            if column.required:
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
