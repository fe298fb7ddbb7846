from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from vantage_pipeline import catalog
from vantage_pipeline.catalog.model import Kind
from vantage_pipeline.records.limits import Limits
from vantage_pipeline.records.mapping import Mapper
from vantage_pipeline.records.model import Page, RowBatch
from vantage_pipeline.records.plans import ColumnType

ACCOUNT: dict[str, Any] = {"investor_id": "1", "investor_name": "Example", "updated_time": "2024-01-01T00:00:00"}


def mapped(table: str, *records: Any, clean: bool = True, **options: Any) -> RowBatch:
    return Mapper(catalog.table(table), zone=ZoneInfo("UTC"), **options).map(Page(catalog.table(table), records, clean))


def account(**fields: Any) -> dict[str, str | None]:
    batch = mapped("investors", {**ACCOUNT, **fields})
    assert not batch.rejections, batch.rejections
    return {name: values[0] for name, values in batch.columns.items()}


def test_an_account_becomes_an_investor() -> None:
    row = account(
        investor_name="  Example Holder ",
        email="A@Example.com / b@example.com",
        main_phone="+1 (555) 010-0000",
        address1="1 Street", address2=None, city="Town", state="TX", zipcode="75069",
        currency="usd", investor_type="TRUST", general_partner=True, inactive=False, unknown_field=Decimal("1.10"),
    )  # fmt: skip
    assert row["name"] == "Example Holder"
    assert row["email"] == "a@example.com"
    assert row["phone"] == "+1 (555) 010-0000"
    assert row["address"] == "1 Street\nTown, TX, 75069"
    assert (row["currency"], row["investor_type"], row["is_gp"], row["is_active"]) == ("USD", "Trust", "true", "true")
    assert row["source_kind"] == "vantage"
    extra = json.loads(row["extra"] or "")
    assert extra["email"] == "A@Example.com / b@example.com"
    assert extra["unknown_field"] == 1.10
    assert '"unknown_field":1.10' in (row["extra"] or "")


def test_underscore_is_no_phone_and_the_contact_email_stands_in() -> None:
    row = account(main_phone="_", contact_email="c@example.com,d@example.com")
    assert row["phone"] is None
    assert row["email"] == "c@example.com"


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [("investor_name", "  ", "REQUIRED_FIELD_MISSING"), ("investor_name", "x" * 501, "TOO_LONG"),
     ("main_phone", "12345", "INVALID_PHONE"), ("email", "nobody", "INVALID_EMAIL"),
     ("currency", "dollars", "INVALID_CURRENCY"), ("inactive", "perhaps", "NOT_A_BOOLEAN"),
     ("updated_time", "yesterday", "NOT_A_TIME"), ("country", ["a"], "NOT_TEXT")],
)  # fmt: skip
def test_a_rejection_names_code_field_and_record(field: str, value: Any, code: str) -> None:
    batch = mapped("investors", ACCOUNT, {**ACCOUNT, "investor_id": "2", field: value})
    assert len(batch) == 1
    (rejection,) = batch.rejections
    assert (rejection.code, rejection.field, rejection.record_key) == (code, field, "2")
    assert json.loads(rejection.record)["investor_id"] == "2"


@pytest.mark.parametrize("bad", [{}, {"investor_id": None}, {"investor_id": []}, "text", None, 5])
def test_records_without_a_key_are_kept_apart(bad: Any) -> None:
    batch = mapped("investors", bad)
    assert (len(batch), len(batch.rejections), batch.fetched) == (0, 1, 1)


def test_the_last_record_of_a_key_wins() -> None:
    batch = mapped("investors", ACCOUNT, {**ACCOUNT, "investor_name": "Later"})
    assert batch.columns["name"] == ["Later"]
    assert (batch.fetched, batch.repeated) == (1, 1)


@pytest.mark.parametrize(
    ("told", "stored"),
    [("Paid In", "CONTRIBUTION"), ("capital call", "CONTRIBUTION"), ("Distribution", "DISTRIBUTION"),
     ("Repurchase", "REPURCHASE"), ("Recallable  distribution", "RECALLABLE DISTRIBUTION")],
)  # fmt: skip
def test_transaction_types(told: str, stored: str) -> None:
    batch = mapped("transactions", {"cashflow_detailid": 1, "transaction_type": told})
    assert batch.columns["transaction_type"] == [stored]


def test_a_commitment_has_a_joined_key() -> None:
    record = {"fund_id": 5, "account_id": "7", "commitment_date": "20240131", "commitment_amount": Decimal("1.50")}
    batch = mapped("commitments", record)
    assert batch.columns["external_id"] == ["5:7:2024-01-31"]
    assert batch.columns["amount"] == ["1.50"]


def test_text_that_postgresql_cannot_store_is_rejected_alone() -> None:
    batch = mapped("investors", ACCOUNT, {**ACCOUNT, "investor_id": "2", "notes": "a\x00b"}, clean=False)
    assert [r.code for r in batch.rejections] == ["UNSTORABLE_TEXT"]
    assert len(batch) == 1


def test_limits_on_one_record() -> None:
    deep: Any = "x"
    for _ in range(10):
        deep = [deep]
    batch = mapped(
        "investors", ACCOUNT, {**ACCOUNT, "investor_id": "2", "notes": "x" * 500},
        {**ACCOUNT, "investor_id": "3", "other": deep}, limits=Limits(record_bytes=300, nesting=5),
    )  # fmt: skip
    assert [r.code for r in batch.rejections] == ["TOO_LARGE", "TOO_DEEP"]


def test_the_database_at_hand_may_have_other_types() -> None:
    types = {"QTY": ColumnType(Kind.INTEGER), "qty": ColumnType(Kind.INTEGER), "amount": ColumnType(Kind.TEXT)}
    batch = mapped("invoice_item", {"_id": "1x1", "QTY": Decimal("1.5"), "AMOUNT": Decimal("2.50")}, types=types)
    assert [r.code for r in batch.rejections] == ["NOT_AN_INTEGER"]
    batch = mapped("invoice_item", {"_id": "1x1", "QTY": 2, "AMOUNT": Decimal("2.50")}, types=types)
    assert (batch.columns["qty"], batch.columns["amount"]) == (["2"], ["2.50"])
