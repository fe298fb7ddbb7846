"""Whole columns at once, for the shapes in which values nearly always come.

The functions of `cells` say what a value means. A shortcut here gives the same texts for a whole column, by work
that runs in C for all values together; where it cannot vouch for every one of them it gives None, and the column
goes through the cell functions value by value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from vantage_pipeline.catalog.model import Kind
from vantage_pipeline.records import cells
from vantage_pipeline.records.decode import encode_lines
from vantage_pipeline.records.model import Cell

Shortcut = Callable[[Sequence[Any], set[type]], Sequence[Cell] | None]
"""From values, none of them None, and the types that occur among them."""

_BOOLEANS = {True: "true", False: "false"}
_INT32 = 2**31
_TO_SECONDS = ((4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":"))
"""Where a time to the second has which mark."""
_LONGEST_NUMBER = 4_000
_SHARED = 4
"""A column is converted by its different values where each occurs so often on average."""


def texts(values: Sequence[Any], kinds: set[type]) -> Sequence[Cell] | None:
    if kinds == {str}:
        return values
    return list(map(str, values)) if kinds == {int} else None


def numbers(values: Sequence[Any], kinds: set[type]) -> Sequence[Cell] | None:
    """Whole numbers and decimals in plain notation; an exponent may stand for more than PostgreSQL holds."""
    if not kinds <= {int, Decimal}:
        return None
    written = list(map(str, values))
    return None if "E" in "".join(written) or max(map(len, written)) > _LONGEST_NUMBER else written


def integers(values: Sequence[Any], kinds: set[type]) -> Sequence[Cell] | None:
    if kinds != {int} or not -_INT32 <= min(values) <= max(values) < _INT32:
        return None
    return list(map(str, values))


def booleans(values: Sequence[Any], kinds: set[type]) -> Sequence[Cell] | None:
    return [_BOOLEANS[value] for value in values] if kinds == {bool} else None


def dates(values: Sequence[Any], kinds: set[type]) -> Sequence[Cell] | None:
    return list(map(cells.calendar_date_text, values)) if kinds == {str} else None


def json_texts(values: Sequence[Any], _kinds: set[type]) -> Sequence[Cell] | None:
    return encode_lines(values)


def timestamps_in(zone: ZoneInfo) -> Shortcut:
    """Times as both APIs write them: ``2024-01-31T08:00:00``, in `zone`, and ``2024-01-31T08:00:00.123Z``."""
    naive_is_utc = zone.key == "UTC"

    def timestamps(values: Sequence[Any], kinds: set[type]) -> Sequence[Cell] | None:
        lengths = set(map(len, values)) if kinds == {str} else set()
        if lengths not in ({19}, {24}):
            return None
        length, count = lengths.pop(), len(values)
        if length == 19 and not naive_is_utc:
            return None
        marks = _TO_SECONDS if length == 19 else (*_TO_SECONDS, (19, "."), (23, "Z"))
        joined = "".join(values)
        if any(joined[place::length] != mark * count for place, mark in marks):
            return None
        for _ in map(datetime.fromisoformat, values):
            pass  # a ValueError tells that one of them is no time
        lines = "\n".join(values).replace("T", " ")
        if length == 19:
            lines = lines.replace("\n", "+00:00\n") + "+00:00"
        else:
            lines = lines.replace("Z", "000+00:00").replace(".000000+", "+")
        return lines.split("\n")

    return timestamps


def shortcuts(zone: ZoneInfo) -> dict[Kind, Shortcut]:
    """The shortcut of each kind that has one; `zone` is that of times without one."""
    return {
        Kind.TEXT: texts,
        Kind.INTEGER: integers,
        Kind.NUMERIC: numbers,
        Kind.BOOLEAN: booleans,
        Kind.DATE: dates,
        Kind.TIMESTAMP: timestamps_in(zone),
        Kind.JSON: json_texts,
    }


def converted(values: Sequence[Any], kinds: set[type], shortcut: Shortcut) -> Sequence[Cell] | None:
    """The column's cells by the shortcut, None staying None; None where it cannot vouch for every value."""
    if kinds == {type(None)}:
        return values
    present: Sequence[Any] = values
    if type(None) in kinds:
        kinds = kinds - {type(None)}
        present = [value for value in values if value is not None]
    try:
        written = shortcut(present, kinds)
    except (ValueError, TypeError):
        return None
    if written is None or present is values:
        return written
    following = iter(written)
    return [None if value is None else next(following) for value in values]


def by_distinct(values: Sequence[Any], kinds: set[type], convert: Callable[[Any], Cell]) -> Sequence[Cell] | None:
    """The cells of a column of text that holds few different ones, each converted once.

    Only text: 1, True and 1.0 are one key of a dictionary, and not one value.
    """
    if not kinds <= {str, type(None)}:
        return None
    distinct = set(values)
    if len(distinct) * _SHARED > len(values):
        return None
    cells_of = {value: convert(value) for value in distinct}
    return list(map(cells_of.__getitem__, values))
