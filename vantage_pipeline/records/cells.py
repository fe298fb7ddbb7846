"""One raw value to the text that PostgreSQL reads, for each kind of column.

Each function takes a value that is not None, gives text or None (nothing there), and raises `CellError` with
a code and a message when the value does not fit. Numbers are never floats on the way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from vantage_pipeline.catalog.model import Kind
from vantage_pipeline.records.decode import encode

CellFunction = Callable[[Any], str | None]

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?\Z", re.ASCII)
_DATE = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})\Z", re.ASCII)
_TIME = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})[T ]\d{2}:?\d{2}", re.ASCII)
_TRUE = frozenset(("true", "yes", "y", "1", "t", "on"))
_FALSE = frozenset(("false", "no", "n", "0", "f", "off"))
_NEEDS_QUOTES = re.compile(r'[\s{},"\\]|\A\Z|\A(?i:null)\Z')
_SHOWN = 80


class CellError(ValueError):
    """A value that does not fit its column."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def shown(value: object) -> str:
    """A value short enough for a message."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"


def text(value: Any) -> str | None:
    if type(value) is str:
        return value
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, (int, Decimal)):
        return str(value)
    raise CellError("NOT_TEXT", f"expected text, got a {_kind_of(value)}: {shown(value)}")


def numeric(value: Any) -> str | None:
    if type(value) is int or type(value) is Decimal:
        if type(value) is Decimal and abs(value.adjusted()) > 16_000:
            raise CellError("OUT_OF_RANGE", f"expected a number PostgreSQL can hold, got {shown(value)}")
        return str(value)
    if type(value) is str:
        stripped = value.strip()
        if not stripped:
            return None
        if _NUMBER.match(stripped):
            return stripped
    raise CellError("NOT_A_NUMBER", f"expected a number, got {_kind_of(value)} {shown(value)}")


def _whole(value: Any, bits: int) -> str | None:
    written = numeric(value)
    if written is None:
        return None
    number = Decimal(written)
    if number.adjusted() > 20 or number != number.to_integral_value():
        raise CellError("NOT_AN_INTEGER", f"expected a whole number, got {shown(value)}")
    whole = int(number)
    if not -(2 ** (bits - 1)) <= whole < 2 ** (bits - 1):
        raise CellError("OUT_OF_RANGE", f"expected a whole number of {bits} bits, got {shown(value)}")
    return str(whole)


def integer(value: Any) -> str | None:
    if type(value) is int and -2147483648 <= value <= 2147483647:
        return str(value)
    return _whole(value, 32)


def bigint(value: Any) -> str | None:
    return _whole(value, 64)


def boolean(value: Any) -> str | None:
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, (int, Decimal)) and value in (0, 1):
        return "true" if value else "false"
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _TRUE:
            return "true"
        if word in _FALSE:
            return "false"
        if not word:
            return None
    raise CellError("NOT_A_BOOLEAN", f"expected yes or no, got {_kind_of(value)} {shown(value)}")


@lru_cache(maxsize=16_384)
def calendar_date_text(value: str) -> str | None:
    """`calendar_date` of a text. Days repeat, so they are remembered."""
    stripped = value.strip()
    if not stripped:
        return None
    match = _DATE.match(stripped) or _TIME.match(stripped)
    try:
        if match is None:
            raise ValueError
        if len(stripped) > 10:
            datetime.fromisoformat(stripped)
        return date(int(match[1]), int(match[2]), int(match[3])).isoformat()
    except ValueError:
        raise CellError("NOT_A_DATE", f"expected a date such as 2024-01-31 or 20240131, got {shown(value)}") from None


def calendar_date(value: Any) -> str | None:
    """A date from ISO date and time, bare date or yyyymmdd. The day is the one written, in no zone."""
    if type(value) is int and 1_000_000 <= value <= 99_991_231:
        value = f"{value:08d}"
    if type(value) is not str:
        raise CellError("NOT_A_DATE", f"expected a date, got {_kind_of(value)} {shown(value)}")
    return calendar_date_text(value)


def timestamp_in(zone: ZoneInfo) -> CellFunction:
    """The function for moments in time; those without a zone are read in `zone`."""

    @lru_cache(maxsize=16_384)
    def of_text(value: str) -> str | None:
        stripped = value.strip()
        if not stripped:
            return None
        try:
            if not (_TIME.match(stripped) or _DATE.match(stripped)):
                raise ValueError
            moment = datetime.fromisoformat(stripped)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=zone)
            return moment.astimezone(UTC).isoformat(sep=" ")
        except (ValueError, OverflowError):
            raise CellError("NOT_A_TIME", f"expected a time such as 2024-01-31T08:00:00, got {shown(value)}") from None

    def timestamp(value: Any) -> str | None:
        if type(value) is not str:
            raise CellError("NOT_A_TIME", f"expected a time, got {_kind_of(value)} {shown(value)}")
        return of_text(value)

    return timestamp


def json_text(value: Any) -> str | None:
    return encode(value)


def text_array(value: Any) -> str | None:
    """A list of texts as an array literal; a bare text stands for a list of one."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        raise CellError("NOT_A_LIST", f"expected a list, got {_kind_of(value)} {shown(value)}")
    items = []
    for item in value:
        written = "NULL" if item is None else text(item)
        if item is not None and _NEEDS_QUOTES.search(written or ""):
            written = '"' + (written or "").replace("\\", "\\\\").replace('"', '\\"') + '"'
        items.append(written or "")
    return "{" + ",".join(items) + "}"


def _kind_of(value: object) -> str:
    names = {str: "text", bool: "yes/no", int: "number", Decimal: "number", list: "list", dict: "object"}
    return names.get(type(value), type(value).__name__)


def functions(zone: ZoneInfo) -> dict[Kind, CellFunction]:
    """The cell function of each kind; `zone` is that of times without one."""
    return {
        Kind.TEXT: text,
        Kind.INTEGER: integer,
        Kind.BIGINT: bigint,
        Kind.NUMERIC: numeric,
        Kind.BOOLEAN: boolean,
        Kind.DATE: calendar_date,
        Kind.TIMESTAMP: timestamp_in(zone),
        Kind.JSON: json_text,
        Kind.TEXT_ARRAY: text_array,
    }
