"""Whether a table holds what the source holds, worked out without the code under test."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from vantage_pipeline.catalog.model import Column, Kind, Rule, Table
from vantage_pipeline_tests.database import Database

Record = dict[str, Any]


def differing(database: Database, table: Table, records: Iterable[Record]) -> set[str]:
    """Keys of the records that are not in the table as the source has them, and of rows that the source has not.

    Columns made of one field as it is are compared; the table's key must be such a column.
    """
    plain = [column for column in table.columns if _is_plain(column)]
    names = ", ".join(f't."{column.name}"' for column in plain)
    owned = f"AND t.{table.owner[0]}::text = '{table.owner[1]}'" if table.owner else ""
    found = database.rows(f'SELECT t."{table.key}", {names} FROM "{table.name}" t WHERE deleted_at IS NULL {owned}')
    rows = {str(key): values for key, *values in found}
    key_field = table.column(table.key).fields[0]
    source = {str(record[key_field]): record for record in records}
    wrong = set(rows) ^ set(source)
    for key in set(rows) & set(source):
        expected = [_expected(column.kind, source[key].get(column.fields[0])) for column in plain]
        if rows[key] != expected:
            wrong.add(key)
    return wrong


def _is_plain(column: Column) -> bool:
    return column.rule is Rule.AS_IS and column.link is None and len(column.fields) == 1


def _expected(kind: Kind, value: Any) -> Any:
    if value is None:
        return None
    if kind is Kind.TEXT:
        return value if isinstance(value, str) else str(value)
    if kind is Kind.NUMERIC:
        return Decimal(str(value))
    if kind is Kind.DATE:
        digits = str(value).replace("-", "")[:8]
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    if kind is Kind.TIMESTAMP:
        moment = datetime.fromisoformat(value)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return value
