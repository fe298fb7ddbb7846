"""Records to rows, a column at a time: `Mapper.map` turns a page into a `RowBatch`.

A column goes whole through its shortcut (`columns`) where that can vouch for it, else value by value. Only when a
value does not fit is the column gone through again, to find out which records to reject and why.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from vantage_pipeline.catalog.model import Kind, Rule, Table
from vantage_pipeline.records import cells, columns
from vantage_pipeline.records.cells import CellError
from vantage_pipeline.records.decode import encode_lines, encode_raw
from vantage_pipeline.records.limits import Limits, beyond
from vantage_pipeline.records.model import Cell, Page, Record, Rejection, RowBatch
from vantage_pipeline.records.plans import ColumnType, Fields, Plan, at_once, cell_of, plan_of

T = TypeVar("T")
EXTRA = "extra"
_LONGEST_KEY = 500
"""Characters: what an index takes, with room for another column beside it."""


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
        functions, shortcuts = cells.functions(zone), columns.shortcuts(zone)
        live = types or {}
        self._plans = [plan_of(column, live.get(column.name), functions, shortcuts) for column in table.columns]
        self._key = table.column(table.key)
        self._key_cell = cell_of(self._key, functions[Kind.TEXT])
        kept = {name for column in table.columns if column.keep_raw for name in column.fields}
        self._not_extra = table.fields - kept

    def map(self, page: Page) -> RowBatch:
        """The page as rows; records that cannot be mapped as rejections."""
        rejections: list[Rejection] = []
        fields, keys, repeated = self._distinct(page.records, rejections)
        fetched = len(keys) + len(rejections)
        broken = beyond(fields, self._limits, clean=page.clean, received=page.bytes)
        if broken:
            rejections.extend(
                self._reject(fields.records[index], keys[index], problem.code, problem.field, problem.message)
                for index, problem in broken.items()
            )
            fields, keys = Fields(_without(fields.records, broken)), _without(keys, broken)
        records = fields.records

        made: dict[str, Sequence[Cell]] = {}
        refused: dict[int, Rejection] = {}
        for plan in self._plans:
            name = plan.column.name
            if name == self._table.key:
                made[name] = keys
                continue
            try:
                whole = at_once(plan, fields)
                made[name] = [plan.convert(record) for record in records] if whole is None else whole
            except CellError:
                made[name] = self._one_by_one(plan, records, keys, refused)
        rest = encode_lines(fields.rest(self._not_extra))
        made[EXTRA] = [None if line == "{}" else line for line in rest]

        if refused:
            made = {name: _without(values, refused) for name, values in made.items()}
            records = _without(records, refused)
            rejections.extend(refused[index] for index in sorted(refused))
        return RowBatch(
            table=self._table,
            columns=made,
            records=records,
            rejections=tuple(rejections),
            fetched=fetched,
            repeated=repeated,
            fields=fields.counts(),
        )

    def _distinct(self, found: Sequence[Any], rejections: list[Rejection]) -> tuple[Fields, Sequence[str], int]:
        """Records with a usable key, the last of those that share one, in order of first appearance."""
        fields = Fields(found) if set(map(type, found)) == {dict} else None
        keys = None if fields is None else self._keys_at_once(fields)
        if fields is not None and keys is not None:
            together = dict(zip(keys, found, strict=True))
            if len(together) < len(found):
                fields = Fields(list(together.values()))
            return fields, list(together), len(found) - len(together)
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
        return Fields(list(by_key.values())), list(by_key), len(found) - without - len(by_key)

    def _keys_at_once(self, fields: Fields) -> list[str] | None:
        if self._key.rule is not Rule.AS_IS or len(self._key.fields) != 1:
            return None
        name = self._key.fields[0]
        keys = columns.converted(fields.values(name), fields.kinds(name), columns.texts)
        usable = [key for key in keys or () if key]
        return usable if len(usable) == len(fields.records) and max(map(len, usable)) <= _LONGEST_KEY else None

    def _one_by_one(
        self, plan: Plan, records: Sequence[Record], keys: Sequence[str], refused: dict[int, Rejection]
    ) -> list[Cell]:
        column = plan.column
        values: list[Cell] = []
        for index, record in enumerate(records):
            try:
                values.append(plan.convert(record))
            except CellError as error:
                values.append(None)
                if index not in refused:
                    field = column.fields[0] if column.fields else column.name
                    message = f"{field}: {error}"
                    refused[index] = self._reject(record, keys[index], error.code, field, message)
        return values

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


def _without(items: Sequence[T], places: Mapping[int, object]) -> list[T]:
    """The items but those at some places."""
    return [item for index, item in enumerate(items) if index not in places]
