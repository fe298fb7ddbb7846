"""A column that a reading would empty at once: counted over the whole reading, and as the merge would write it."""

from __future__ import annotations

from typing import Any

import pytest

from vantage_pipeline_tests.pipeline import Pipeline

PHONES = "SELECT count(phone) FROM customer"
HELD = "SELECT coalesce(sum(records), 0)::int FROM vantage_held_back WHERE column_name = 'phone'"


@pytest.fixture
def few(pipeline: Pipeline) -> Pipeline:
    """Customers synced in batches of 20, of which 9 in each of two batches have a phone number."""
    pipeline.changes = {"batch_records": 20}
    store = pipeline.sandbox.bubble
    for number, record in enumerate(sorted(store.records["customer_profile"].values(), key=_by_change)):
        record.pop("Contact", None)
        if number % 20 < 9 and number < 40:
            record["Contact"] = f"+60 {number}"
    store.changed("customer_profile")
    pipeline.sync("bubble/agent", full=True)
    pipeline.sync("bubble/customer", full=True)
    assert pipeline.database.scalar(PHONES) == 18
    store.hidden.add(("customer_profile", "Contact"))
    return pipeline


def test_what_each_batch_clears_a_little_of_is_held_back_once_the_sum_is_too_much(few: Pipeline) -> None:
    foretold = few.sync("bubble/customer", full=True, dry_run=True)
    assert few.database.scalar(PHONES) == 18
    report = few.sync("bubble/customer", full=True)
    assert [(h.table, h.column, h.records, h.share, h.before) for h in report.held_back] == [
        ("customer", "phone", 9, 1.0, 9)
    ]
    assert "9 records that have one (100%)" in report.held_back[0].as_error()["message"]
    assert "9 more had been cleared before it showed" in report.held_back[0].as_error()["message"]
    assert (few.database.scalar(PHONES), few.database.scalar(HELD)) == (9, 9)
    assert report.facts()["records_cleared_held"] == 9
    assert foretold.held_back == report.held_back
    assert (foretold.cleared, foretold.counts) == (9, report.counts)
    allowed = few.sync("bubble/customer", full=True, allow_clear=["customer.phone"])
    assert (allowed.held_back, few.database.scalar(PHONES)) == ([], 0)


def test_values_in_the_other_batches_count_too(few: Pipeline) -> None:
    """Half of the phones are given still: nothing points at a rule that hides them."""
    store = few.sandbox.bubble
    store.hidden.clear()
    for number, record in enumerate(sorted(store.records["customer_profile"].values(), key=_by_change)):
        if number < 20 or number % 20 == 0:
            record.pop("Contact", None)
    store.changed("customer_profile")
    report = few.sync("bubble/customer", full=True)
    assert (report.held_back, few.database.scalar(PHONES)) == ([], 8)


def test_a_link_that_a_repair_keeps_is_not_said_to_be_cleared(pipeline: Pipeline) -> None:
    store = pipeline.sandbox.bubble
    for record in store.records["invoice"].values():
        record.pop("Linked SEDA registration", None)
    registration = next(iter(store.records["seda_registration"].values()))
    registration["Linked Invoice"] = list(store.records["invoice"])
    store.changed("invoice")
    pipeline.sync_all("bubble")
    linked = "SELECT count(*) FROM invoice WHERE linked_seda_registration IS NOT NULL"
    assert pipeline.database.scalar(linked) == 40
    report = pipeline.sync("bubble/invoice", full=True)
    assert (report.held_back, report.counts.updated) == ([], 0)
    assert pipeline.database.scalar(linked) == 40


def _by_change(record: dict[str, Any]) -> tuple[str, str]:
    return record["Modified Date"], record["_id"]
