"""What a record's row must be, worked out apart from the code under test: plain conversions of the fields.

Only what a catalog's field and rule say is used; nothing of `records` is called.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from vantage_pipeline.catalog.model import Column, Kind, Rule, Table

Record = Mapping[str, Any]
_ABBREVIATIONS = {"LLC", "IRA", "LP"}
_FLOWS = {"CONTRIBUTION": "CONTRIBUTION", "PAID IN": "CONTRIBUTION", "CAPITAL CALL": "CONTRIBUTION"}


class Refused(Exception):
    """The record cannot become a row."""


def row(table: Table, record: Record) -> dict[str, Any]:
    """Column to value, links as the key that the record names.

    Raises:
        Refused: it belongs in quarantine.
    """
    if any("\x00" in text for text in _texts(record)):
        raise Refused("NUL")
    made = {column.name: _value(column, record) for column in table.columns}
    kept = {name for column in table.columns if column.keep_raw for name in column.fields}
    rest = {k: v for k, v in record.items() if v is not None and (k not in table.fields or k in kept)}
    made["extra"] = rest or None
    return made


def plain(value: Any) -> Any:
    """A form in which what the database gives and what a record says compare exactly."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, Decimal)):
        return Decimal(value)
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def from_json(text: str | None) -> Any:
    """A jsonb column's text with its numbers exact."""
    return None if text is None else plain(json.loads(text, parse_float=Decimal))


def _value(column: Column, record: Record) -> Any:
    raw = _RULES[column.rule](record, column)
    if column.link is not None and not column.link.many:
        return None if raw is None else _text(raw) or None
    value = None if raw is None else _KINDS[column.kind](raw)
    if column.required and not value:
        raise Refused(column.name)
    if column.max_length is not None and value is not None and len(value) > column.max_length:
        raise Refused(column.name)
    return value


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _texts(item)]
    return [text for item in value for text in _texts(item)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, Decimal)):
        return str(value)
    raise Refused("text")


def _number(value: Any) -> Decimal | None:
    if isinstance(value, str):
        if not value.strip():
            return None
        if not re.fullmatch(r"\s*[+-]?[0-9.]+\s*", value):
            raise Refused("number")
        return Decimal(value.strip())
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise Refused("number")
    return Decimal(value)


def _whole(value: Any) -> Decimal | None:
    number = _number(value)
    if number is not None and number != int(number):
        raise Refused("whole number")
    return number


def _boolean(value: Any) -> bool | None:
    if isinstance(value, str):
        words: dict[str, bool | None] = {"yes": True, "no": False, "n": False, "": None}
        if value.lower() not in words:
            raise Refused("yes or no")
        return words[value.lower()]
    return bool(value)


def _moment(value: Any) -> datetime | None:
    if not value:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise Refused("time") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _day(value: Any) -> date | None:
    if not value:
        return None
    try:
        return datetime.fromisoformat(value).date()
    except (TypeError, ValueError):
        raise Refused("date") from None


def _list(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        raise Refused("list")
    return [_text(item) for item in (value if isinstance(value, list) else [value])]


_KINDS: dict[Kind, Callable[[Any], Any]] = {
    Kind.TEXT: _text, Kind.NUMERIC: _number, Kind.INTEGER: _whole, Kind.BIGINT: _whole, Kind.BOOLEAN: _boolean,
    Kind.TIMESTAMP: _moment, Kind.DATE: _day, Kind.TEXT_ARRAY: _list, Kind.JSON: plain,
}  # fmt: skip


def _first(record: Record, column: Column) -> Any:
    given = [record[name] for name in column.fields if record.get(name) is not None]
    return next((value for value in given if str(value).strip()), given[0] if given else None)


def _trimmed(record: Record, column: Column) -> str | None:
    value = _first(record, column)
    return None if value is None else _text(value).strip() or None


def _email(record: Record, column: Column) -> str | None:
    for name in column.fields:
        found = _text(record[name]).strip() if record.get(name) is not None else ""
        if found not in ("", "_"):
            first = re.split(r"[\s,;/|]+", found)[0]
            if "@" not in first:
                raise Refused("e-mail")
            return first.lower()
    return None


def _phone(record: Record, column: Column) -> str | None:
    value = _trimmed(record, column)
    if value is None or value == "_":
        return None
    if not 7 <= sum(c in "0123456789" for c in value) <= 15:
        raise Refused("phone")
    return value


def _address(record: Record, column: Column) -> str | None:
    parts = [_text(record[name]).strip() if record.get(name) is not None else "" for name in column.fields]
    return "\n".join(filter(None, [*parts[:-3], ", ".join(filter(None, parts[-3:]))])) or None


def _currency(record: Record, column: Column) -> str | None:
    value = _trimmed(record, column)
    if value is not None and len(value) != 3:
        raise Refused("currency")
    return value.upper() if value else None


def _investor_type(record: Record, column: Column) -> str | None:
    value = _trimmed(record, column)
    words = (word.upper() if word.upper() in _ABBREVIATIONS else word.capitalize() for word in (value or "").split())
    return " ".join(words) or None


def _flow(record: Record, column: Column) -> str | None:
    value = _trimmed(record, column)
    capitals = " ".join((value or "").upper().split())
    return _FLOWS.get(capitals, capitals) or None


def _inverted(record: Record, column: Column) -> Any:
    value = _first(record, column)
    truth = None if value is None else _boolean(value)
    return None if truth is None else not truth


def _file(record: Record, column: Column) -> Any:
    value = _first(record, column)
    if isinstance(value, list):
        return [item for item in value if item != "//"] or None
    return None if value == "//" else value


def _joined(record: Record, column: Column) -> str:
    return ":".join(str(record.get(name) or "")[:10] for name in column.fields)


_RULES: dict[Rule, Callable[[Record, Column], Any]] = {
    Rule.AS_IS: _first, Rule.TRIMMED: _trimmed, Rule.FIRST_EMAIL: _email, Rule.PHONE: _phone, Rule.ADDRESS: _address,
    Rule.CURRENCY: _currency, Rule.INVERTED: _inverted, Rule.TRANSACTION_TYPE: _flow, Rule.INVESTOR_TYPE: _investor_type,
    Rule.CONSTANT: lambda _record, column: column.constant, Rule.FILE_URL: _file, Rule.JOINED_KEY: _joined,
}  # fmt: skip
