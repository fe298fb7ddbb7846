from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vantage_pipeline.errors import SourceProtocolError
from vantage_pipeline.records import cells
from vantage_pipeline.records.cells import CellError
from vantage_pipeline.records.decode import decode, depth, encode, encode_raw, has_unstorable_text


@pytest.mark.parametrize(
    ("value", "expected"),
    [("2024-01-31T00:00:00", "2024-01-31"), ("2024-01-31", "2024-01-31"), ("20240131", "2024-01-31"),
     (20240131, "2024-01-31"), ("0001-01-01T00:00:00", "0001-01-01"), ("2024-02-29", "2024-02-29"), ("", None)],
)  # fmt: skip
def test_dates_in_three_forms(value: Any, expected: str | None) -> None:
    assert cells.calendar_date(value) == expected


@pytest.mark.parametrize("value", ["2023-02-29", "31/01/2024", "n/a", "2024-13-01", True, [], 1.5])
def test_impossible_dates_are_refused(value: Any) -> None:
    with pytest.raises(CellError):
        cells.calendar_date(value)


def test_times_without_zone_are_read_in_the_configured_one() -> None:
    read = cells.timestamp_in(ZoneInfo("Asia/Kuala_Lumpur"))
    assert read("2024-01-01T08:00:00") == "2024-01-01 00:00:00+00:00"
    assert read("2024-01-01T08:00:00Z") == "2024-01-01 08:00:00+00:00"


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)))
def test_times_keep_their_milliseconds(moment: datetime) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)
    text = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert datetime.fromisoformat(str(cells.timestamp_in(ZoneInfo("UTC"))(text))) == moment


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_money_is_exact_from_json_to_text_and_back(number: Decimal) -> None:
    decoded = decode(encode({"n": number}).encode(), where="test").value["n"]
    assert Decimal(str(cells.numeric(decoded))) == number


@pytest.mark.parametrize("value", ["n/a", "1,5", "1 000", True, [], {}, "NaN"])
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(CellError):
        cells.numeric(value)


def test_integers_take_whole_decimals_only() -> None:
    assert cells.integer(Decimal("7.0")) == "7"
    for wrong in (Decimal("7.5"), 2**31, "x"):
        with pytest.raises(CellError):
            cells.integer(wrong)


def test_a_bare_text_is_a_list_of_one() -> None:
    assert cells.text_array("a") == "{a}"
    assert cells.text_array(['x "y"', "", "NULL", "a,b"]) == '{"x \\"y\\"","","NULL","a,b"}'


def test_lone_surrogates_and_html_are_told_apart() -> None:
    decoded = decode(b'{"a": "\\ud800", "b": 0.1}', where="test")
    assert not decoded.clean
    assert decoded.value["b"] == Decimal("0.1")
    assert has_unstorable_text(decoded.value)
    assert "ud800" in encode_raw(decoded.value)
    with pytest.raises(SourceProtocolError, match="HTML"):
        decode(b"<html></html>", where="test")


def test_depth_counts_levels() -> None:
    assert depth({"a": [1, {"b": 2}]}, 10) == 3
    assert depth("x", 10) == 0
