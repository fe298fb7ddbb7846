"""How a column's value is made from the record's fields: one function for each `Rule`.

A rule takes the record and the column and gives a raw value for the column's cell function, or None.
Facts about the dirty data: ``docs/sources.md``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from vantage_pipeline.catalog.model import Column, Rule
from vantage_pipeline.records import cells
from vantage_pipeline.records.cells import CellError, shown

RuleFunction = Callable[[Mapping[str, Any], Column], Any]

_EMAIL_SEPARATORS = re.compile(r"[\s,;/|]+")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+\Z")
_ACRONYMS = frozenset(("LLC", "IRA", "LP", "LLP", "GP", "SPV", "PLC", "S-CORP", "C-CORP", "LTD", "REIT", "401K"))
_TRANSACTION_TYPES = {
    "CONTRIBUTION": "CONTRIBUTION",
    "PAID IN": "CONTRIBUTION",
    "CAPITAL CALL": "CONTRIBUTION",
    "DISTRIBUTION": "DISTRIBUTION",
    "REPURCHASE": "REPURCHASE",
}
KNOWN_TRANSACTION_TYPES = frozenset(_TRANSACTION_TYPES.values())
NO_FILE = "//"


def first_present(record: Mapping[str, Any], column: Column) -> Any:
    """The first field's value that says something; a blank one gives way to what a later field says."""
    blank = None
    for name in column.fields:
        value = record.get(name)
        if isinstance(value, str) and not value.strip():
            blank = value if blank is None else blank
        elif value is not None:
            return value
    return blank


def _scalar(value: Any) -> str | None:
    """Text of a scalar without surrounding space; None when nothing is left."""
    if value is None:
        return None
    written = cells.text(value)
    return (written or "").strip() or None


def trimmed(record: Mapping[str, Any], column: Column) -> str | None:
    return _scalar(first_present(record, column))


def first_email(record: Mapping[str, Any], column: Column) -> str | None:
    """The first address among the fields, lower case. Two addresses in one field occur."""
    for name in column.fields:
        written = _scalar(record.get(name))
        if written is None or written == "_":
            continue
        for part in _EMAIL_SEPARATORS.split(written):
            if _EMAIL.match(part):
                return part.lower()
        raise CellError("INVALID_EMAIL", f"expected an e-mail address, got {shown(written)}")
    return None


def _phone_of(value: Any) -> str | None:
    written = _scalar(value)
    if written is None or not written.strip("_"):
        return None
    digits = sum(character.isdigit() for character in written)
    if not 7 <= digits <= 15:
        raise CellError("INVALID_PHONE", f"expected 7 to 15 digits, got {digits} in {shown(written)}")
    return written


def phone(record: Mapping[str, Any], column: Column) -> str | None:
    """A phone number of 7 to 15 digits in any punctuation; ``_`` is none."""
    return _phone_of(first_present(record, column))


def default_address_phone(record: Mapping[str, Any], column: Column) -> str | None:
    """Mobile, else main phone, of the default address (the first one where none is marked)."""
    addresses = first_present(record, column)
    if not isinstance(addresses, list):
        return None
    usable = [item for item in addresses if isinstance(item, dict)]
    marked = [item for item in usable if cells_true(item.get("set_as_default_address"))]
    for item in (*marked, *usable)[:1]:
        return _phone_of(item.get("mobile")) or _phone_of(item.get("main_phone"))
    return None


def cells_true(value: Any) -> bool:
    """Whether a flag in any of its written forms says yes."""
    try:
        return value is not None and cells.boolean(value) == "true"
    except CellError:
        return False


def address(record: Mapping[str, Any], column: Column) -> str | None:
    """Street lines, then ``city, state, zipcode``, joined by line breaks."""
    *streets, city, state, zipcode = (_scalar(record.get(name)) for name in column.fields)
    lines = [line for line in streets if line]
    place = ", ".join(part for part in (city, state, zipcode) if part)
    return "\n".join([*lines, place] if place else lines) or None


def currency(record: Mapping[str, Any], column: Column) -> str | None:
    """An ISO 4217 code in capitals."""
    written = _scalar(first_present(record, column))
    if written is None:
        return None
    code = written.upper()
    if len(code) != 3 or not (code.isascii() and code.isalpha()):
        raise CellError("INVALID_CURRENCY", f"expected an ISO 4217 code such as USD, got {shown(written)}")
    return code


def investor_type(record: Mapping[str, Any], column: Column) -> str | None:
    """Types come in capitals; words become Title Case, abbreviations stay."""
    written = _scalar(first_present(record, column))
    if written is None:
        return None
    return " ".join(word.upper() if word.upper() in _ACRONYMS else word.capitalize() for word in written.split())


def transaction_type(record: Mapping[str, Any], column: Column) -> str | None:
    """One of the three known types, or what came, in capitals."""
    written = _scalar(first_present(record, column))
    if written is None:
        return None
    capitals = " ".join(written.upper().split())
    return _TRANSACTION_TYPES.get(capitals, capitals)


def inverted(record: Mapping[str, Any], column: Column) -> bool | None:
    value = first_present(record, column)
    written = None if value is None else cells.boolean(value)
    return None if written is None else written == "false"


def constant(_record: Mapping[str, Any], column: Column) -> str | None:
    return column.constant


def joined_key(record: Mapping[str, Any], column: Column) -> str | None:
    """The fields joined by colons, dates as yyyy-mm-dd, absent ones empty. None when all are absent."""
    parts = [_key_part(name, record.get(name)) for name in column.fields]
    if not parts[0]:
        return None
    return ":".join(parts)


def _key_part(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name.endswith("_date"):
        return cells.calendar_date(value) or ""
    return (_scalar(value) or "").replace(":", "%3A")


def file_url(record: Mapping[str, Any], column: Column) -> Any:
    """A file's address, or a list of them; ``//`` alone means none."""
    value = first_present(record, column)
    if isinstance(value, list):
        return [item for item in value if item != NO_FILE] or None
    return None if value == NO_FILE else value


RULES: dict[Rule, RuleFunction] = {
    Rule.AS_IS: first_present,
    Rule.TRIMMED: trimmed,
    Rule.FIRST_EMAIL: first_email,
    Rule.PHONE: phone,
    Rule.ADDRESS: address,
    Rule.CURRENCY: currency,
    Rule.INVERTED: inverted,
    Rule.TRANSACTION_TYPE: transaction_type,
    Rule.INVESTOR_TYPE: investor_type,
    Rule.CONSTANT: constant,
    Rule.JOINED_KEY: joined_key,
    Rule.DEFAULT_ADDRESS_PHONE: default_address_phone,
    Rule.FILE_URL: file_url,
}
