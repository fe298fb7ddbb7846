"""Faults within a record: a field that is renamed, retyped, gone or new, and values at the edge of what there is.

`spoil` changes one record of an answer; `spoil_record` does the same to a record of the source itself.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from vantage_pipeline.catalog.model import Table
from vantage_pipeline.sandbox.exchange import LONE_SURROGATE, Exchange, Record

Change = Callable[[Record, str, random.Random], None]
_DATE = re.compile(r"\d{4}-?\d{2}-?\d{2}")
_LEFT_ALONE = frozenset(("Modified Date", "Created Date", "updated_time"))
_MEGABYTE = 2**20


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_date(value: object) -> bool:
    return isinstance(value, str) and bool(_DATE.match(value))


def _is_scalar(value: object) -> bool:
    return value is not None and not isinstance(value, (list, dict))


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _any(_value: object) -> bool:
    return True


def _set(value: Any) -> Change:
    def change(record: Record, name: str, _chance: random.Random) -> None:
        record[name] = value

    return change


def _set_date(day: str) -> Change:
    """The day in the form in which the field has its dates."""

    def change(record: Record, name: str, _chance: random.Random) -> None:
        old = str(record[name])
        record[name] = day.replace("-", "") if re.fullmatch(r"\d{8}", old) else day + old[10:]

    return change


def _renamed(record: Record, name: str, _chance: random.Random) -> None:
    record[f"{name}_renamed"] = record.pop(name)


def _gone(record: Record, name: str, _chance: random.Random) -> None:
    del record[name]


def _retyped_key(record: Record, name: str, _chance: random.Random) -> None:
    value = record[name]
    record[name] = int(value) if isinstance(value, str) and value.isdigit() else {"id": value}


def _to_text(record: Record, name: str, _chance: random.Random) -> None:
    record[name] = str(record[name])


def _to_list(record: Record, name: str, _chance: random.Random) -> None:
    record[name] = [record[name]]


def _megabyte(record: Record, name: str, chance: random.Random) -> None:
    record[name] = chance.randbytes(_MEGABYTE // 2).hex()


def _deep(record: Record, _name: str, _chance: random.Random) -> None:
    nested: Any = "bottom"
    for _ in range(100):
        nested = [nested]
    record["made_up_depth"] = nested


_FIELDS: Mapping[str, tuple[Callable[[object], bool], Change, str]] = {
    "field_renamed": (_any, _renamed, "a field has another name"),
    "field_gone": (_any, _gone, "a field is no longer there"),
    "field_added": (_any, lambda r, _n, _c: r.update(made_up_field={"a": [1, None]}), "there is a new field"),
    "number_to_text": (_is_number, _to_text, "a number has become text"),
    "text_to_number": (_is_text, _set(Decimal("17.5")), "a text has become a number"),
    "scalar_to_list": (_is_scalar, _to_list, "a value has become a list"),
    "list_to_scalar": (_is_list, _set("made up"), "a list has become a value"),
    "megabyte": (_is_text, _megabyte, "a text of a megabyte"),
    "nul": (_is_text, _set("made\x00up"), "a NUL in a text"),
    "surrogate": (_is_text, _set(f"made {LONE_SURROGATE} up"), "a lone surrogate in a text"),
    "huge_number": (_is_number, _set(Decimal("1E+308")), "1e308"),
    "inexact_number": (_is_number, _set(Decimal("0.30000000000000004")), "0.1 + 0.2 as computers add it"),
    "year_one": (_is_date, _set_date("0001-01-01"), "the first day of year one"),
    "leap_day": (_is_date, _set_date("2024-02-29"), "29 February of a leap year"),
    "no_leap_day": (_is_date, _set_date("2023-02-29"), "29 February of another year"),
    "deep": (_any, _deep, "lists within lists, a hundred of them"),
}
_KEYS: Mapping[str, tuple[Change, str]] = {
    "id_retyped": (_retyped_key, "an id of another type"),
    "id_list": (_to_list, "a list in place of the id"),
    "id_gone": (_gone, "a record without its id"),
}
NOT_A_RECORD = "not_a_record"
PAYLOADS: Mapping[str, str] = {
    **{name: what for name, (_, _, what) in _FIELDS.items()},
    **{name: what for name, (_, what) in _KEYS.items()},
    NOT_A_RECORD: "a number in place of a record",
}
"""What each kind is, by its name."""


def spoil(kind: str, exchange: Exchange) -> bool:
    """Spoil one record of the answer; False where none of them lends itself to it."""
    table, records = exchange.table, exchange.records
    if table is None or not records:
        return False
    if kind == NOT_A_RECORD:
        records[exchange.chance.randrange(len(records))] = 17
        return True
    order = [record for record in records if isinstance(record, dict)]
    exchange.chance.shuffle(order)
    return any(spoil_record(kind, record, table, exchange.chance) for record in order)


def spoil_record(kind: str, record: Record, table: Table, chance: random.Random) -> bool:
    """Spoil a record in place; False where it has no field for it. `NOT_A_RECORD` is none of a record's."""
    keys = table.column(table.key).fields
    if kind in _KEYS:
        if keys[0] not in record:
            return False
        _KEYS[kind][0](record, keys[0], chance)
        return True
    fits, change, _ = _FIELDS[kind]
    names = _candidates(record, keys, fits)
    if not names:
        return False
    change(record, chance.choice(names), chance)
    return True


def _candidates(record: Record, keys: Iterable[str], fits: Callable[[object], bool]) -> list[str]:
    kept = {*keys, *_LEFT_ALONE}
    return sorted(name for name, value in record.items() if name not in kept and fits(value))
