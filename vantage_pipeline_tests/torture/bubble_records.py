"""Bubble's records as a history makes and edits them: few, small, with all that the real ones do."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from vantage_pipeline import catalog
from vantage_pipeline.catalog.model import BubbleEndpoint, Column, Kind, Table
from vantage_pipeline.sandbox.bubble_api import BubbleStore
from vantage_pipeline.sandbox.bubble_data import iso
from vantage_pipeline_tests.torture.clock import START

Record = dict[str, Any]
MOST = 8
"""Different records a type can have in a history; a link may name one that is not there (yet)."""
TABLE_OF = {
    dataset.endpoint.type_name: dataset.table
    for resource in catalog.BUBBLE_RESOURCES
    for dataset in resource.datasets
    if isinstance(dataset.endpoint, BubbleEndpoint)
}
TYPE_OF = {table.name: type_name for type_name, table in TABLE_OF.items()}
_TYPES = tuple(TABLE_OF)
_MOVES = {"submit_payment": "payment", "payment": "submit_payment"}
_BUILT_IN = ("_id", "Created Date", "Modified Date")

_VALUES: dict[Kind, tuple[Any, ...]] = {
    Kind.TEXT: ("plain", "", "two\nlines", 'say "so", twice', "\u00e9\u4e2d", 5, True, "  spaced  ", Decimal("1.50"), "NULL"),
    Kind.NUMERIC: (Decimal("10.50"), 0, -7, "12.5", Decimal("12345678901234567890.123456789"), Decimal("0.1"), "", 3, 1, 2),
    Kind.INTEGER: (0, 5, Decimal("3.0"), "7", 2147483647, -1, "", 1, 2, 4),
    Kind.BOOLEAN: (True, False, "yes", 0, "no", 1, True, False, "", True),
    Kind.TIMESTAMP: ("2026-05-05T00:00:00.000Z", "2024-02-29T12:00:00.000Z", "1999-12-31T23:59:59.999Z", "",
                     "2026-06-14T00:00:00.000Z", "2026-06-15T00:00:00.000Z", "2030-01-01", "2026-06-01T08:00:00+08:00",
                     "2026-01-01T00:00:00.000Z", "0001-01-01T00:00:00.000Z"),
    Kind.JSON: ({"email": {"email": "a@example.com"}}, [1, 2], {"n": 1}, "text", 5, {"deep": {"er": [1]}}, {}, [], True, {"a": None}),
    Kind.TEXT_ARRAY: (["a", "b"], ["b,c", 'q"x'], "bare", ["", "NULL"], ["back\\slash"], ["//"], ["one"], ["\u4e2d"], [], ["{}"]),
}  # fmt: skip
_BAD: dict[Kind, Any] = {
    Kind.TEXT: {"not": "text"}, Kind.NUMERIC: "a lot", Kind.INTEGER: Decimal("1.5"), Kind.BOOLEAN: "perhaps",
    Kind.TIMESTAMP: "soon", Kind.TEXT_ARRAY: {"not": "a list"},
}  # fmt: skip
SPOILED = "Spoiled"
"""The field, without a column, that names the field that was spoiled; the mapping keeps it in ``extra``."""


def record_id(type_name: str, which: int) -> str:
    return f"{1_700_000_000_000 + _TYPES.index(type_name) * 1_000 + which % MOST}x{which % MOST}"


class BubbleSource:
    """The types of a history and their records in the sandbox."""

    def __init__(self, store: BubbleStore, types: tuple[str, ...]) -> None:
        self._store, self.types = store, types

    def keys(self, type_name: str) -> list[str]:
        return list(self._store.records[type_name])

    def get(self, type_name: str, key: str) -> Record:
        return dict(self._store.records[type_name][key])

    def key(self, type_name: str, which: int) -> str:
        return record_id(type_name, which)

    def make(self, type_name: str, which: int, variant: int) -> Record:
        """A record with some of its fields and links."""
        chance = random.Random(f"{type_name} {which} {variant}")
        record: Record = {"_id": record_id(type_name, which), "Created Date": iso(START - timedelta(days=which % 5))}
        for column in TABLE_OF[type_name].columns:
            field = column.fields[0]
            if field in record or field in _BUILT_IN:
                continue
            if column.link is not None or field == "Created By":
                if chance.random() < 0.6:
                    record[field] = self._target(column, chance.randrange(MOST), chance.randrange(10))
            elif chance.random() < 0.3:
                record[field] = _VALUES[column.kind][chance.randrange(10)]
        if variant % 3 == 0:
            record["Unmapped Field"] = f"kept {variant}"
        return record

    def change(self, type_name: str, record: Record, variant: int) -> None:
        """Give two plain fields other values; one of three loses its value instead."""
        plain = [
            c for c in TABLE_OF[type_name].columns if c.link is None and c.fields[0] not in (*_BUILT_IN, "Created By")
        ]
        for number in (variant, variant * 7 + 3):
            column = plain[number % len(plain)]
            if column.fields[0] == record.get(SPOILED):
                continue
            if number % 3 == 2:
                record.pop(column.fields[0], None)
            else:
                record[column.fields[0]] = _VALUES[column.kind][(number + len(str(record))) % 10]

    def link(self, type_name: str, record: Record, which: int, variant: int) -> None:
        links = [c for c in TABLE_OF[type_name].columns if c.link is not None or c.fields[0] == "Created By"]
        column = links[variant % len(links)]
        if (which + variant) % 7 == 6:
            record.pop(column.fields[0], None)
        else:
            record[column.fields[0]] = self._target(column, which, variant)

    def spoil(self, type_name: str, record: Record, variant: int) -> None:
        self.mend(type_name, record)
        plain = [
            c for c in TABLE_OF[type_name].columns if c.link is None and c.kind in _BAD and c.fields[0] not in _BUILT_IN
        ]
        column = plain[variant % len(plain)]
        if column.kind is Kind.TEXT and variant % 2:
            record[column.fields[0]] = "a NUL \x00 within"
        else:
            record[column.fields[0]] = _BAD[column.kind]
        record[SPOILED] = column.fields[0]

    def mend(self, _type_name: str, record: Record) -> bool:
        spoiled = record.pop(SPOILED, None)
        if spoiled is not None:
            record.pop(spoiled, None)
        return spoiled is not None

    def put(self, type_name: str, record: Record, stamp: datetime) -> None:
        record["Modified Date"] = iso(stamp)
        self._store.put(type_name, record, touch=False)

    def remove(self, type_name: str, key: str) -> Record:
        return self._store.remove(type_name, key)

    def moved(self, type_name: str, record: Record) -> tuple[str, Record] | None:
        """A submitted payment that was verified, or the other way round; every other one keeps its id."""
        other = _MOVES.get(type_name)
        if other is None or other not in self.types:
            return None
        fields = TABLE_OF[other].fields
        date = ("PAYMENT DATE", "Payment Date") if other == "payment" else ("Payment Date", "PAYMENT DATE")
        made = {name: value for name, value in record.items() if name in fields or name == "Unmapped Field"}
        if record.get(date[0]) is not None and SPOILED not in record:
            made[date[1]] = record[date[0]]
        spoiled = record.get(SPOILED)
        if spoiled is not None:
            made.pop(spoiled, None)
        number = int(record["_id"].split("x")[1])
        made["_id"] = record["_id"] if number % 2 else record_id(other, number)
        return other, made

    def _target(self, column: Column, which: int, variant: int) -> Any:
        """What a link names: mostly a record of the right type, there or not; lists; an agent's user; an e-mail."""
        table: Table | None = catalog.table(column.link.table) if column.link else None
        if table is None or (column.name == "created_by" and variant == 9):
            return "office@example.com" if variant == 9 else record_id("user", which)
        type_name = TYPE_OF[table.name]
        if column.link is not None and column.link.many:
            ids = [record_id(type_name, which + step) for step in range(1 + variant % 3)]
            return ids[0] if variant == 9 else ids
        if column.link is not None and column.link.alias is not None and variant % 3 == 0:
            return record_id("user", which)
        return record_id(type_name, which)
