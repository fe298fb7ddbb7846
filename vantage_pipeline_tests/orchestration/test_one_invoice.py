"""Given invoices, now: with everything that they link to, whether or not that is there already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vantage_pipeline.errors import SourceNotFound
from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline_tests.database import Database
from vantage_pipeline_tests.pipeline import Pipeline


@pytest.fixture
def invoice(pipeline: Pipeline) -> dict[str, Any]:
    """One with a customer, items and a payment that names it."""
    records = pipeline.sandbox.bubble.records
    found: dict[str, Any] = next(
        record
        for record in records["invoice"].values()
        if record.get("Linked Invoice Item")
        and record.get("Linked Customer") in records["customer_profile"]
        and any(records["payment"].get(key, {}).get("Linked Invoice") for key in record.get("Linked Payment", []))
    )
    return found


def sync(pipeline: Pipeline, *ids: str, **options: Any) -> Any:
    return pipeline.sync("bubble/invoice", ids=list(ids), **options)


def test_one_invoice_now(pipeline: Pipeline, invoice: dict[str, Any]) -> None:
    sync(pipeline, invoice["_id"])
    items = {r[0] for r in pipeline.database.rows("SELECT bubble_id FROM invoice_item")}
    assert items == set(invoice["Linked Invoice Item"])
    assert sync(pipeline, invoice["_id"]).fetched == 0
    assert sync(pipeline, invoice["_id"], force=True).counts.unchanged == 1


def test_what_it_links_to_is_read_again_although_the_invoice_is_not_newer(
    pipeline: Pipeline, invoice: dict[str, Any]
) -> None:
    sync(pipeline, invoice["_id"])
    store = pipeline.sandbox.bubble
    customer, item = invoice["Linked Customer"], invoice["Linked Invoice Item"][0]
    store.put("customer_profile", {**store.records["customer_profile"][customer], "Name": "renamed"})
    store.put("invoice_item", {**store.records["invoice_item"][item], "DESCRIPTION": "edited"})
    store.put("payment", {"_id": "7x7", "Linked Invoice": invoice["_id"], "Amount": 12.5})
    report = sync(pipeline, invoice["_id"])
    database = pipeline.database
    assert report.fetched == 0
    assert database.scalar("SELECT name FROM customer WHERE customer_id = %s", customer) == "renamed"
    assert database.scalar("SELECT description FROM invoice_item WHERE bubble_id = %s", item) == "edited"
    assert database.scalar("SELECT linked_invoice FROM payment WHERE bubble_id = '7x7'") == invoice["_id"]


def test_a_local_edit_of_what_is_not_newer_stays_unless_forced(pipeline: Pipeline, invoice: dict[str, Any]) -> None:
    sync(pipeline, invoice["_id"])
    customer, database = invoice["Linked Customer"], pipeline.database
    named = "SELECT name FROM customer WHERE customer_id = %s"
    was = database.scalar(named, customer)
    database.execute("UPDATE customer SET name = 'by hand' WHERE customer_id = %s", [customer])
    sync(pipeline, invoice["_id"])
    assert database.scalar(named, customer) == "by hand"
    sync(pipeline, invoice["_id"], force=True)
    assert database.scalar(named, customer) == was


def test_an_invoice_that_came_back_in_its_old_version_is_live_again(
    pipeline: Pipeline, invoice: dict[str, Any]
) -> None:
    sync(pipeline, invoice["_id"])
    pipeline.database.execute("UPDATE invoice SET deleted_at = now()")
    sync(pipeline, invoice["_id"])
    assert pipeline.database.scalar("SELECT count(*) FROM invoice WHERE deleted_at IS NULL") == 1


def test_an_unknown_id_is_an_error_and_the_others_are_written(pipeline: Pipeline, invoice: dict[str, Any]) -> None:
    with pytest.raises(SourceNotFound, match="no invoice 1x1; nothing was written"):
        sync(pipeline, "1x1")
    with pytest.raises(SourceNotFound, match="no invoice 1x1; the other 1 were written"):
        sync(pipeline, invoice["_id"], "1x1")
    assert pipeline.database.rows("SELECT bubble_id FROM invoice") == [(invoice["_id"],)]


@pytest.mark.parametrize("start", [0, 1, 2])
def test_any_hundred_invoices_take_thirty_requests_at_most(
    make_sandbox: Callable[..., Sandbox], database: Database, start: int
) -> None:
    """Into an empty database, and again with all of it there."""
    pipeline = Pipeline(make_sandbox(bubble_scale=1.0), database)
    ids = list(pipeline.sandbox.bubble.records["invoice"])
    chosen = ids[start :: len(ids) // 100][:100]
    for _ in range(2):
        pipeline.sandbox.requests.clear()
        sync(pipeline, *chosen)
        assert len(pipeline.sandbox.requests) <= 30
