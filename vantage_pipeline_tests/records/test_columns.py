"""A column at once gives what its values give one by one, whatever they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vantage_pipeline import catalog
from vantage_pipeline.catalog.model import Kind
from vantage_pipeline.records import cells, columns, plans
from vantage_pipeline.records.cells import CellError
from vantage_pipeline.records.mapping import Mapper
from vantage_pipeline.records.model import Cell, Page, RowBatch

ZONES = [ZoneInfo("UTC"), ZoneInfo("Asia/Kuala_Lumpur")]

_two = st.integers(0, 61).map("{:02d}".format)
_time = st.builds(
    "{}-{}-{}{}{}:{}:{}{}".format,
    st.sampled_from(["2024", "1999", "0000", "0001", "9999", "२०२४", "2024-"]),
    st.integers(0, 13).map("{:02d}".format), st.integers(0, 32).map("{:02d}".format),
    st.sampled_from(["T", "T", "T", " ", "t"]), st.integers(0, 25).map("{:02d}".format), _two, _two,
    st.sampled_from(["", "", ".000Z", ".120Z", "Z", ".5", "+08:00", ".123z", ".1234"]),
)  # fmt: skip
_days = st.dates().map(str) | st.dates().map("{:%Y%m%d}".format) | st.sampled_from(["", "2023-02-29", "2024-W05-1"])
_times = st.datetimes().map(lambda moment: moment.isoformat(timespec="seconds"))
_instants = st.datetimes().map(lambda moment: moment.isoformat(timespec="milliseconds") + "Z")
_numbers = st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | st.decimals(0, 10**9, places=2)
_texts = st.text() | st.sampled_from(
    ["", " ", "yes", "NULL", "\\N", "a\tb", "a\nb", "1e5", "12", "20240131T080000.123"]
)
_odd = st.booleans() | st.lists(_texts, max_size=2) | st.dictionaries(_texts, _numbers, max_size=2)
_any = _texts | _numbers | _odd | _time | _days
VALUES = [_texts, _numbers, st.integers(), st.booleans(), _days, _times, _instants, _time, _any]
COLUMNS = [st.lists(kind, min_size=1, max_size=12) for kind in (*VALUES, *(kind | st.none() for kind in VALUES))]


def one_by_one(values: Sequence[Any], cell: cells.CellFunction) -> list[Cell] | None:
    try:
        return [None if value is None else cell(value) for value in values]
    except CellError:
        return None


@pytest.mark.parametrize("zone", ZONES, ids=str)
@pytest.mark.parametrize("kind", list(columns.shortcuts(ZONES[0])))
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_shortcut_gives_what_the_cell_function_gives(kind: Kind, zone: ZoneInfo, data: st.DataObject) -> None:
    values = data.draw(st.one_of(COLUMNS))
    at_once = columns.converted(values, set(map(type, values)), columns.shortcuts(zone)[kind])
    assert at_once is None or list(at_once) == one_by_one(values, cells.functions(zone)[kind])


@pytest.mark.parametrize(
    ("kind", "values"),
    [(Kind.TEXT, ["a", None, ""]), (Kind.TEXT, [1, 2]), (Kind.INTEGER, [1, -2, None]), (Kind.BOOLEAN, [True, None]),
     (Kind.NUMERIC, [Decimal("1.10"), 3, None, Decimal("-0.00")]), (Kind.DATE, ["2024-01-31", "20240131", None]),
     (Kind.TIMESTAMP, ["2024-01-31T08:00:00", None]), (Kind.JSON, [{"a": Decimal("1.10")}, None, ["\n"]]),
     (Kind.TIMESTAMP, ["2024-01-31T08:00:00.120Z", "2024-01-31T08:00:00.000Z"])],
)  # fmt: skip
def test_the_usual_shapes_take_the_shortcut(kind: Kind, values: list[Any]) -> None:
    zone = ZoneInfo("UTC")
    at_once = columns.converted(values, set(map(type, values)), columns.shortcuts(zone)[kind])
    assert at_once is not None
    assert list(at_once) == one_by_one(values, cells.functions(zone)[kind])


_TABLES = {dataset.table.name: dataset.table for resource in catalog.RESOURCES for dataset in resource.datasets}
_FIELDS = sorted({name for table in _TABLES.values() for name in table.fields})
_record = st.dictionaries(st.sampled_from(_FIELDS) | _texts, _any | st.none(), max_size=8)


def _without_shortcuts(patched: pytest.MonkeyPatch) -> None:
    """Take the records one by one from here on."""
    patched.setattr(columns, "converted", lambda *_: None)
    patched.setattr(columns, "by_distinct", lambda *_: None)
    make = plans.Fields.__init__

    def irregular(fields: plans.Fields, records: Sequence[Any]) -> None:
        make(fields, records)
        fields.uniform = False

    patched.setattr(plans.Fields, "__init__", irregular)


def _plain(batch: RowBatch) -> dict[str, Any]:
    columns_ = {name: list(values) for name, values in batch.columns.items()}
    columns_["extra"] = [value and json.loads(value, parse_float=Decimal) for value in columns_["extra"]]
    return {
        "columns": columns_,
        "rejections": sorted((r.record_key, r.code, r.field, r.message, r.record) for r in batch.rejections),
        "counts": (len(batch), batch.fetched, batch.repeated, dict(batch.fields)),
    }


@pytest.mark.parametrize("table", sorted(_TABLES))
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), usual=st.booleans())
def test_a_batch_is_mapped_as_its_records_are(table: str, data: st.DataObject, usual: bool) -> None:
    """The batch, and the same with every shortcut taken away."""
    target = _TABLES[table]
    key = target.column(target.key).fields
    one = st.fixed_dictionaries({name: st.integers(1, 9).map(str) for name in key})
    names = data.draw(st.lists(st.sampled_from(sorted(target.fields)), max_size=4, unique=True)) if usual else []
    rest = st.fixed_dictionaries({name: data.draw(st.sampled_from(VALUES)) for name in names}) if usual else _record
    records = data.draw(st.lists(st.builds(lambda first, second: {**first, **second}, one, rest), max_size=9))
    mapper = Mapper(target, zone=ZoneInfo("UTC"))
    slow = Mapper(target, zone=ZoneInfo("UTC"))
    with pytest.MonkeyPatch.context() as patched:
        fast = mapper.map(Page(target, records, clean=False))
        _without_shortcuts(patched)
        assert _plain(fast) == _plain(slow.map(Page(target, records, clean=False)))
