from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from vantage_pipeline import catalog
from vantage_pipeline.catalog.model import Kind, Rule
from vantage_pipeline.errors import SourceNotFound, SourceRefused
from vantage_pipeline.records.rules import NO_FILE
from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline.sandbox.bubble_data import iso
from vantage_pipeline.sources.bubble import PAGE, BubbleClient
from vantage_pipeline.sources.windows import Window
from vantage_pipeline_tests.database import Database
from vantage_pipeline_tests.pipeline import Pipeline

TYPES = {"customer": "customer_profile", "submitted_payment": "submit_payment"}
NAMES = ["agent", "customer", "user", "invoice", "payment", "submitted_payment", "invoice_item", "seda_registration"]
OURS = {"id", "created_at", "updated_at", "last_synced_at", "deleted_at", "extra", "became_payment"}
BY_HAND = {
    "text": "'by hand ' || id", "bigint": "id + 7", "integer": "id + 7", "numeric": "id + 0.25", "boolean": "id % 2 = 0",
    "timestamp with time zone": "timestamptz '2020-02-29 12:00:00+00' + id * interval '1 hour'",
}  # fmt: skip
"""What people fill in, by a column's type: another value in each row."""


def local_columns(database: Database, name: str) -> dict[str, str]:
    """The columns that only the database has, with their types: all that neither the catalog nor a sync knows."""
    mapped = {column.name for column in catalog.table(name).columns}
    listed = database.rows("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s", name)
    return {column: kind for column, kind in listed if column not in mapped | OURS}


def values_of(database: Database, name: str, columns: Mapping[str, str]) -> list[tuple[Any, ...]]:
    listed = ", ".join(f'"{column}"' for column in columns)
    return database.rows(f'SELECT id, {listed} FROM "{name}" ORDER BY id')


def assert_equal_to_source(pipeline: Pipeline) -> None:
    """Every mapped, unlinked field of every record is in its column with its value exactly."""
    for name in NAMES:
        table = catalog.table(name)
        source = pipeline.sandbox.bubble.records[TYPES.get(name, name)]
        plain = [c for c in table.columns if c.link is None and len(c.fields) == 1 and c.name != "created_by"]
        columns = ", ".join(f'"{c.name}"' for c in plain)
        rows = pipeline.database.rows(f'SELECT {columns} FROM "{name}" WHERE deleted_at IS NULL')
        assert len(rows) == len(source), name
        key = [c.name for c in plain].index(table.key)
        for row in rows:
            record = source[row[key]]
            for column, value in zip(plain, row, strict=True):
                expected = record.get(column.fields[0])
                if column.rule is Rule.FILE_URL and expected == NO_FILE:
                    expected = None
                if column.kind is Kind.TIMESTAMP and expected is not None:
                    expected = datetime.fromisoformat(expected)
                assert value == expected, (name, row[key], column.name)


def test_everything_arrives_exactly_and_again_writes_nothing(pipeline: Pipeline) -> None:
    first = pipeline.sync_all("bubble")
    assert_equal_to_source(pipeline)
    assert first["invoice"].counts.created == 40
    again = pipeline.sync_all("bubble")
    assert {n: (r.counts.created, r.counts.updated) for n, r in again.items()} == dict.fromkeys(again, (0, 0))


def test_local_columns_differ_in_nothing_after_all_syncs_and_repairs(pipeline: Pipeline) -> None:
    pipeline.sync_all("bubble")
    local = {name: local_columns(pipeline.database, name) for name in NAMES}
    kept = {}
    for name, columns in local.items():
        assert columns, name
        written = ", ".join(f'"{column}" = {BY_HAND[kind]}' for column, kind in columns.items())
        pipeline.database.execute(f'UPDATE "{name}" SET {written}')
        kept[name] = values_of(pipeline.database, name, columns)
    for type_name, records in pipeline.sandbox.bubble.records.items():
        for record in list(records.values())[:5]:
            pipeline.sandbox.bubble.put(type_name, record)
        for record in list(records.values())[5:8]:
            pipeline.sandbox.bubble.put(type_name, {key: record[key] for key in ("_id", "Created Date")})
    pipeline.sync_all("bubble", full=False)
    pipeline.sync_all("bubble")
    for name, columns in local.items():
        assert values_of(pipeline.database, name, columns) == kept[name], name


def test_links_close_circles_and_an_agents_user_leads_to_the_agent(pipeline: Pipeline) -> None:
    pipeline.sync_all("bubble")
    store, database = pipeline.sandbox.bubble.records, pipeline.database
    linked = dict(database.rows("SELECT bubble_id, linked_user_login FROM agent"))
    assert linked == {a["_id"]: a["Linked User Login"] for a in store["agent"].values()}
    through_user = next(i for i in store["invoice"].values() if i["Linked Agent"] in store["user"])
    agent, raw = database.rows(
        "SELECT linked_agent, extra->>'Linked Agent' FROM invoice WHERE bubble_id = %s", through_user["_id"]
    )[0]
    assert raw == through_user["Linked Agent"]
    assert agent == store["user"][raw]["Linked Agent Profile"]
    assert {r[0] for r in database.rows("SELECT reason FROM vantage_pending_links")} <= {"not an id"}


def test_repairs_fill_what_records_imply(pipeline: Pipeline) -> None:
    pipeline.sync_all("bubble")
    store, database = pipeline.sandbox.bubble.records, pipeline.database
    for item in store["invoice_item"].values():
        listed = next(i["_id"] for i in store["invoice"].values() if item["_id"] in i.get("Linked Invoice Item", []))
        assert database.scalar("SELECT linked_invoice FROM invoice_item WHERE bubble_id = %s", item["_id"]) == listed
    for registration in store["seda_registration"].values():
        invoice = registration["Linked Invoice"][0]
        assert (
            database.scalar("SELECT linked_seda_registration FROM invoice WHERE bubble_id = %s", invoice)
            == registration["_id"]
        )
        expected = store["invoice"][invoice]["Linked Customer"]
        assert (
            database.scalar("SELECT linked_customer FROM seda_registration WHERE bubble_id = %s", registration["_id"])
            == expected
        )
    assert database.scalar("SELECT count(*) FROM invoice WHERE total_amount IS NULL") == 0


def test_a_total_that_is_there_but_blank_gives_way_to_the_amount_once(pipeline: Pipeline) -> None:
    invoice = next(iter(pipeline.sandbox.bubble.records["invoice"].values()))
    invoice["Total Amount"], invoice["Amount"] = "", 12.5
    pipeline.sync_all("bubble")
    for name in ("bubble/invoice", "bubble/links"):
        again = pipeline.sync(name, full=True)
        assert (again.counts.created, again.counts.updated) == (0, 0), name
    total = pipeline.database.scalar("SELECT total_amount FROM invoice WHERE bubble_id = %s", invoice["_id"])
    assert float(total) == 12.5


def test_a_link_that_the_source_gives_is_never_replaced(pipeline: Pipeline) -> None:
    store = pipeline.sandbox.bubble.records
    registrations = list(store["seda_registration"].values())
    invoice = store["invoice"][registrations[0]["Linked Invoice"][0]]
    invoice["Linked SEDA registration"] = registrations[1]["_id"]
    pipeline.sync_all("bubble")
    assert (
        pipeline.database.scalar("SELECT linked_seda_registration FROM invoice WHERE bubble_id = %s", invoice["_id"])
        == registrations[1]["_id"]
    )
    assert (invoice["_id"],) in pipeline.database.rows("SELECT row_key FROM vantage_link_conflicts")


def test_a_quiet_day_takes_one_request_a_type(pipeline: Pipeline) -> None:
    pipeline.sync_all("bubble")
    pipeline.sandbox.requests.clear()
    pipeline.sync_all("bubble", full=False)
    assert Counter(r.path for r in pipeline.sandbox.requests) == {
        f"/api/1.1/obj/{TYPES.get(name, name)}": 1 for name in NAMES
    }


def test_a_hundred_invoices_with_all_they_link_to_take_few_requests(
    make_sandbox: Callable[..., Sandbox], database: Database
) -> None:
    pipeline = Pipeline(make_sandbox(bubble_scale=1.0), database)
    store = pipeline.sandbox.bubble.records
    chosen = list(store["invoice"].values())[:100]
    for record in chosen:
        record["Invoice Date"] = "2020-01-15T00:00:00.000Z"
    pipeline.sandbox.bubble.changed("invoice")
    from vantage_pipeline.orchestration.config import By

    pipeline.sync("bubble/invoice", by=By.INVOICE_DATE, from_date="2020-01-01", to_date="2020-01-31")
    assert database.scalar("SELECT count(*) FROM invoice") >= 100
    items = {i for r in chosen for i in r.get("Linked Invoice Item", [])}
    assert {r[0] for r in database.rows("SELECT bubble_id FROM invoice_item")} >= items
    paid = {p for r in chosen for p in r.get("Linked Payment", [])}
    there = {r[0] for r in database.rows("SELECT bubble_id FROM payment UNION SELECT bubble_id FROM submitted_payment")}
    assert there >= paid
    assert database.scalar("SELECT count(*) FROM invoice WHERE linked_customer IS NULL") == 0
    assert len(pipeline.sandbox.requests) <= 30


def test_ties_beyond_a_page_and_two_windows(pipeline: Pipeline) -> None:
    base = next(iter(pipeline.sandbox.bubble.records["agent"].values()))
    same = "2026-03-03T03:03:03.003Z"
    for number in range(350):
        record: dict[str, Any] = {**base, "_id": f"{10**12 + number}x{number}", "Modified Date": same}
        pipeline.sandbox.bubble.put("agent", record, touch=False)
    report = pipeline.sync("bubble/agent")
    assert report.fetched == 352
    assert pipeline.database.scalar("SELECT count(*), count(DISTINCT bubble_id) FROM agent") == 352


def test_a_window_holds_its_days_and_nothing_else(pipeline: Pipeline) -> None:
    store = pipeline.sandbox.bubble
    invoices = list(store.records["invoice"].values())
    day = datetime(2026, 4, 4, tzinfo=UTC)
    for record, moment in zip(
        invoices,
        (day, day + timedelta(days=1), day - timedelta(milliseconds=1), day + timedelta(hours=5)),
        strict=False,
    ):
        record["Modified Date"] = iso(moment)
    for record in invoices[4:]:
        record["Modified Date"] = iso(day + timedelta(days=20))
    store.changed("invoice")
    report = pipeline.sync("bubble/invoice", window=(day, day + timedelta(days=1)))
    assert report.fetched == 2
    assert report.watermark_after is None


def test_edits_and_deletions_while_it_reads(make_sandbox: Callable[..., Sandbox], database: Database) -> None:
    pipeline = Pipeline(make_sandbox(bubble_scale=0.08), database)
    store, lock = pipeline.sandbox.bubble, pipeline.sandbox.lock
    counter = iter(range(10_000))

    def disturb(_path: str) -> None:
        with lock:
            number = next(counter)
            customers = list(store.records["customer_profile"].values())
            store.put("customer_profile", {**customers[number % 50], "Name": f"edited {number}"})
            store.put("customer_profile", {"_id": f"{10**13 + number}x1", "Name": "added"})
            if number % 3 == 0:
                store.remove("customer_profile", customers[-1 - number % 20]["_id"])

    pipeline.sync("bubble/agent", full=True)
    pipeline.sandbox.on_request.append(disturb)
    pipeline.sync("bubble/customer", full=True)
    pipeline.sandbox.on_request.clear()
    pipeline.sync("bubble/customer", full=True)
    rows = dict(database.rows("SELECT customer_id, name FROM customer WHERE deleted_at IS NULL"))
    assert rows == {r["_id"]: r.get("Name") for r in store.records["customer_profile"].values()}


def test_a_record_that_leaves_an_unread_window_for_one_that_was_read_is_not_marked_deleted(
    make_sandbox: Callable[..., Sandbox], database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = Pipeline(make_sandbox(bubble_scale=0.3), database)
    pipeline.changes = {"concurrency": 2}
    store = pipeline.sandbox.bubble
    ordered = list(store.records["customer_profile"].values())
    for number, record in enumerate(ordered):
        record["Modified Date"] = iso(datetime.now(UTC) - timedelta(minutes=len(ordered) - number))
    store.changed("customer_profile")
    pipeline.sync("bubble/agent", full=True)
    pipeline.sync("bubble/customer", full=True)
    later_one_read = threading.Event()
    reading = BubbleClient._list

    def in_turn(self: BubbleClient, *asked: Any, **named: Any) -> Any:
        """The later window first; then someone edits a record that the earlier one has yet to come to."""
        window: Window | None = named.get("window")
        if window is not None and window.end is not None:
            assert later_one_read.wait(60)
        answer = reading(self, *asked, **named)
        later = window is not None and window.start is not None and window.end is None
        if later and not answer.remaining and len(answer.records) < PAGE and not later_one_read.is_set():
            with pipeline.sandbox.lock:
                store.put("customer_profile", {**ordered[200], "Name": "edited"})
            later_one_read.set()
        return answer

    monkeypatch.setattr(BubbleClient, "_list", in_turn)
    report = pipeline.sync("bubble/customer", full=True)
    assert later_one_read.is_set()
    assert report.deleted == 0
    assert database.rows("SELECT name FROM customer WHERE customer_id = %s", ordered[200]["_id"]) == [("edited",)]
    assert database.scalar("SELECT count(*) FROM customer WHERE deleted_at IS NOT NULL") == 0


def test_a_fetched_parent_that_arrives_well_leaves_the_quarantine(pipeline: Pipeline) -> None:
    store = pipeline.sandbox.bubble
    invoice = next(i for i in store.records["invoice"].values() if i.get("Linked Customer"))
    customer = store.records["customer_profile"][invoice["Linked Customer"]]
    good = customer["Modified Date"]
    open_entries = "SELECT resource, record_key FROM vantage_quarantine WHERE resolved_at IS NULL"
    customer["Modified Date"] = "not a time"
    store.changed("customer_profile")
    pipeline.sync("bubble/invoice", ids=[invoice["_id"]])
    assert pipeline.database.rows(open_entries) == [("bubble_customer", customer["_id"])]
    customer["Modified Date"] = good
    store.changed("customer_profile")
    pipeline.sync("bubble/invoice", ids=[invoice["_id"]], force=True)
    assert pipeline.database.scalar(f"SELECT count(*) FROM customer WHERE customer_id = '{customer['_id']}'") == 1
    assert pipeline.database.rows(open_entries) == []


def test_a_dangling_link_waits_and_the_row_goes_in(pipeline: Pipeline) -> None:
    customer = next(iter(pipeline.sandbox.bubble.records["customer_profile"].values()))
    customer["Linked Agent"] = "5x5"
    pipeline.sync_all("bubble")
    waiting = pipeline.database.rows("SELECT parent_key FROM vantage_pending_links WHERE table_name = 'customer'")
    assert waiting == [("5x5",)]
    pipeline.sandbox.bubble.put("agent", {"_id": "5x5", "Name": "Late"})
    pipeline.sync("bubble/agent")
    assert (
        pipeline.database.scalar("SELECT linked_agent FROM customer WHERE customer_id = %s", customer["_id"]) == "5x5"
    )


def test_an_unknown_type_and_a_privacy_rule_are_one_clear_error_each(pipeline: Pipeline) -> None:
    pipeline.sandbox.bubble.denied.add("agent")
    with pytest.raises(SourceRefused, match="privacy rules"):
        pipeline.sync("bubble/agent")
    del pipeline.sandbox.bubble.records["submit_payment"]
    with pytest.raises(SourceNotFound, match="submit_payment"):
        pipeline.sync("bubble/submitted_payment")


def test_a_hidden_field_is_held_back(pipeline: Pipeline) -> None:
    pipeline.sync_all("bubble")
    kept = pipeline.database.rows("SELECT customer_id, phone FROM customer ORDER BY 1")
    pipeline.sandbox.bubble.hidden.add(("customer_profile", "Contact"))
    report = pipeline.sync("bubble/customer", full=True)
    assert [h.column for h in report.held_back] == ["phone"]
    assert pipeline.database.rows("SELECT customer_id, phone FROM customer ORDER BY 1") == kept


def test_a_verified_payment_is_told_of_its_submitted_one(pipeline: Pipeline) -> None:
    store = pipeline.sandbox.bubble
    submitted = next(iter(store.records["submit_payment"].values()))
    submitted.update({"Amount": 123, "PAYMENT DATE": "2026-05-05T00:00:00.000Z"})
    pipeline.sync_all("bubble")
    store.remove("submit_payment", submitted["_id"])
    store.put(
        "payment",
        {
            "_id": "7x7",
            "Amount": 123,
            "Payment Date": "2026-05-05T00:00:00.000Z",
            "Linked Invoice": submitted["Linked Invoice"],
        },
    )
    pipeline.sync_all("bubble")
    assert pipeline.database.rows(
        "SELECT became_payment, deleted_at IS NOT NULL FROM submitted_payment WHERE bubble_id = %s", submitted["_id"]
    ) == [("7x7", True)]


def test_a_hundred_and_twenty_thousand_records_three_thousand_of_them_at_one_millisecond(pipeline: Pipeline) -> None:
    agents = pipeline.sandbox.bubble.records["agent"]
    agents.clear()
    first = datetime(2026, 1, 5, tzinfo=UTC)
    for number in range(120_000):
        step = 50_000 if 50_000 <= number < 53_000 else number
        moment = iso(first + timedelta(seconds=step))
        record_id = f"{10**12 + number}x{number}"
        agents[record_id] = {"_id": record_id, "Created Date": moment, "Modified Date": moment}
    pipeline.sandbox.bubble.changed("agent")
    report = pipeline.sync("bubble/agent")
    assert (report.fetched, report.counts.created) == (120_000, 120_000)
    assert pipeline.database.scalar("SELECT count(DISTINCT bubble_id) FROM agent") == 120_000
