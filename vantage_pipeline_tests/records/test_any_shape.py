"""Whatever is in a field, its record becomes a row or a rejection with a reason; nothing is raised, nothing is lost."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from vantage_pipeline import catalog
from vantage_pipeline.catalog.model import Table
from vantage_pipeline.records.mapping import Mapper
from vantage_pipeline.records.model import Page

TABLES = [dataset.table for resource in catalog.RESOURCES for dataset in resource.datasets]
ODD: list[Any] = [
    "", " ", "text", "//", "_", "17", "1e308", "0001-01-01", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
    "2023-02-29", "2024-02-29", "20240230", "NaN", "Infinity", "made\x00up", "made \ud800 up", "x" * 5_000,
    0, -1, 17, 10**40, Decimal("1E+308"), Decimal("1E-308"), Decimal("0.30000000000000004"), Decimal("-0"),
    True, False, [], {}, [None], [[]], [{}], ["a", 1, None], {"a": {"b": [1]}}, [{"mobile": 1, "main_phone": []}],
    [{"set_as_default_address": [], "mobile": {}}],
]  # fmt: skip


def good(table: Table) -> dict[str, Any]:
    """A record with enough in it to become a row."""
    record: dict[str, Any] = dict.fromkeys(table.column(table.key).fields, "2024-01-31")
    for column in table.columns:
        if column.required and column.fields:
            record.setdefault(column.fields[0], "2024-01-31")
    return record


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_any_value_in_any_field(table: Table) -> None:
    mapper = Mapper(table, zone=ZoneInfo("UTC"))
    assert len(mapper.map(Page(table, [good(table)]))) == 1
    for field in sorted(table.fields):
        for value in ODD:
            record = {**good(table), field: value}
            batch = mapper.map(Page(table, [record], clean=False))
            assert len(batch) + len(batch.rejections) == 1 == batch.fetched, (field, value)
            assert all(rejection.code and rejection.message for rejection in batch.rejections)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_one_strange_record_keeps_no_other_out(table: Table) -> None:
    mapper = Mapper(table, zone=ZoneInfo("UTC"))
    keys = table.column(table.key).fields
    others = [{**good(table), keys[0]: f"key{number}"} for number in range(3)]
    strangers: tuple[Any, ...] = (17, None, "text", [], True, {}, {keys[0]: []}, {keys[0]: None})
    for stranger in strangers:
        page: Any = [others[0], stranger, *others[1:]]
        batch = mapper.map(Page(table, page))
        assert (len(batch), len(batch.rejections), batch.fetched) == (3, 1, 4), stranger
