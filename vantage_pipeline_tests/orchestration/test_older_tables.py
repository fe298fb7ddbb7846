"""Syncs into tables that are older than the migrations."""

from __future__ import annotations

from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline.warehouse import migrations
from vantage_pipeline_tests.database import Database
from vantage_pipeline_tests.pipeline import Pipeline

TEXT_LISTS = """
CREATE TABLE invoice (id serial PRIMARY KEY, bubble_id text, linked_payment jsonb, linked_invoice_item text);
CREATE TABLE seda_registration (id serial PRIMARY KEY, bubble_id text, linked_invoice varchar(500));
"""


def test_lists_in_text_columns_are_lists_however_the_source_or_an_earlier_sync_wrote_them(
    sandbox: Sandbox, empty_database: Database
) -> None:
    empty_database.execute(TEXT_LISTS)
    migrations.apply(empty_database.url)
    pipeline, store = Pipeline(sandbox, empty_database), sandbox.bubble.records
    bare, two, *_ = [i for i in store["invoice"].values() if len(i.get("Linked Invoice Item", [])) > 1]
    bare["Linked Invoice Item"], bare["Linked Payment"] = bare["Linked Invoice Item"][0], "4x4"
    registration = next(iter(store["seda_registration"].values()))
    registration["Linked Invoice"] = bare["_id"]
    for item in store["invoice_item"].values():
        item.pop("Linked Invoice", None)
    bare.pop("Linked SEDA registration", None)
    for type_name in ("invoice", "seda_registration", "invoice_item"):
        sandbox.bubble.changed(type_name)
    pipeline.sync_all("bubble")
    stored = "SELECT linked_invoice_item, linked_payment FROM invoice WHERE bubble_id = %s"
    assert empty_database.rows(stored, bare["_id"]) == [(f'["{bare["Linked Invoice Item"]}"]', ["4x4"])]
    linked = "SELECT linked_invoice FROM invoice_item WHERE bubble_id = %s"
    for invoice, item in ((bare, bare["Linked Invoice Item"]), *((two, item) for item in two["Linked Invoice Item"])):
        assert empty_database.scalar(linked, item) == invoice["_id"]
    assert (
        empty_database.scalar("SELECT linked_seda_registration FROM invoice WHERE bubble_id = %s", bare["_id"])
        == registration["_id"]
    )
    one, other = two["Linked Invoice Item"][:2]
    for earlier, items in ((f'"{one}"', [one]), (one, [one]), (f"{{{one},{other}}}", [one, other]), ("[none", [])):
        empty_database.execute(
            "UPDATE invoice SET linked_invoice_item = %s WHERE bubble_id = %s", (earlier, two["_id"])
        )
        pipeline.sync("bubble/links")
        found = empty_database.rows("SELECT bubble_id FROM invoice_item WHERE linked_invoice = %s", two["_id"])
        assert {item for (item,) in found} == set(items), earlier
