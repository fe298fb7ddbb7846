from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from vantage_pipeline.errors import SourceError, SyncAlreadyRunning, TooManyRejections
from vantage_pipeline.sandbox import Fault
from vantage_pipeline.warehouse import locks
from vantage_pipeline.warehouse.load_report import LoadOptions
from vantage_pipeline_tests.pipeline import Pipeline

WRITES = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables WHERE relname = ANY(%s)"
TABLES = [
    "investors",
    "deals",
    "transactions",
    "commitments",
    "contacts",
    "account_contacts",
    "valuations",
    "investments",
]


def writes(pipeline: Pipeline) -> int:
    pipeline.database.rows("SELECT pg_stat_force_next_flush()")
    return int(pipeline.database.scalar(WRITES, [TABLES]))


def test_everything_arrives_and_a_second_sync_writes_no_row(pipeline: Pipeline) -> None:
    first = pipeline.sync_all("vantage")
    assert (first["accounts"].counts.created, first["funds"].counts.created) == (60, 7)
    assert first["cashflows"].counts.created == 150
    database = pipeline.database
    total = sum(r["transaction_amount"] for r in pipeline.sandbox.vantage.records["cashflows"])
    assert database.scalar("SELECT sum(amount) FROM transactions") == total
    assert database.scalar("SELECT count(*) FROM transactions WHERE investor_id IS NULL OR deal_id IS NULL") == 0
    before = writes(pipeline)
    again = pipeline.sync_all("vantage")
    assert {name: (r.counts.created, r.counts.updated) for name, r in again.items()} == dict.fromkeys(again, (0, 0))
    assert writes(pipeline) == before
    assert {
        r[0] for r in database.rows("SELECT last_sync_status FROM vantage_sync_state WHERE resource NOT LIKE 'bubble%'")
    } == {"success"}


def test_positions_add_up(pipeline: Pipeline) -> None:
    pipeline.sync_all("vantage")
    sums = "SELECT sum({}) FROM {} {}"
    contributed = pipeline.database.scalar(sums.format("contributed", "investments", ""))
    assert contributed == pipeline.database.scalar(
        sums.format("amount", "transactions", "WHERE transaction_type = 'CONTRIBUTION'")
    )
    assert pipeline.database.scalar(sums.format("committed", "investments", "")) == pipeline.database.scalar(
        sums.format("amount", "commitments", "")
    )
    assert pipeline.database.scalar("SELECT count(*) FROM investments WHERE uncalled <> committed - contributed") == 0


def test_positions_that_nothing_supports_any_more_are_counted_as_deleted(pipeline: Pipeline) -> None:
    pipeline.sync_all("vantage")
    investor = pipeline.database.scalar("SELECT min(investor_id) FROM investments")
    for table in ("transactions", "commitments"):
        pipeline.database.execute(f"UPDATE {table} SET deleted_at = now() WHERE investor_id = %s", (investor,))
    gone = pipeline.database.scalar("SELECT count(*) FROM investments WHERE investor_id = %s", investor)
    assert pipeline.sync("investments").deleted == gone > 0
    kept = "SELECT records_deleted FROM vantage_sync_history WHERE resource = 'investments' ORDER BY id"
    assert pipeline.database.rows(kept) == [(0,), (gone,)]


def test_an_increment_updates_what_changed_and_its_watermark_is_not_late(pipeline: Pipeline) -> None:
    pipeline.sync("accounts")
    pipeline.sandbox.vantage.change("accounts", 10, field="investor_name", value="Changed")
    began = datetime.now(UTC)
    report = pipeline.sync("accounts")
    assert (report.counts.created, report.counts.updated) == (0, 10)
    assert report.watermark_after is not None
    assert report.watermark_after <= began
    assert pipeline.database.scalar("SELECT count(*) FROM investors WHERE name = 'Changed'") == 10


def test_local_columns_and_other_sources_rows_stay(pipeline: Pipeline) -> None:
    database = pipeline.database
    database.rows(
        "INSERT INTO investors (name, source_kind, external_id, notes) VALUES ('Mine', 'DISTRIBUTOR', '10001', 'mine')"
    )
    database.rows("ALTER TABLE investors ADD COLUMN added_by_hand text")
    report = pipeline.sync("accounts", options=LoadOptions(max_rejected_records=5))
    assert report.quarantined == 1
    assert report.rejections[0].code == "OWNED_BY_ANOTHER_SOURCE"
    database.rows("UPDATE investors SET added_by_hand = 'x' || id, notes = 'n' || id, merged_into_id = id")
    kept = database.rows("SELECT id, added_by_hand, notes, merged_into_id FROM investors ORDER BY id")
    pipeline.sandbox.vantage.change("accounts", 30, field="country", value="Elsewhere")
    assert pipeline.sync("accounts", full=True).counts.updated == 29
    assert database.rows("SELECT id, added_by_hand, notes, merged_into_id FROM investors ORDER BY id") == kept
    assert database.rows("SELECT name, source_kind::text FROM investors WHERE external_id = '10001'") == [
        ("Mine", "DISTRIBUTOR")
    ]


def test_a_refused_record_waits_in_quarantine_until_it_arrives_well(pipeline: Pipeline) -> None:
    account = pipeline.sandbox.vantage.records["accounts"][0]
    account["investor_name"] = None
    report = pipeline.sync("accounts")
    assert (report.fetched, report.counts.created, report.quarantined) == (60, 59, 1)
    entry = pipeline.database.rows(
        "SELECT record_key, code, field, record->>'investor_id' FROM vantage_quarantine WHERE resolved_at IS NULL"
    )
    assert entry == [("10001", "REQUIRED_FIELD_MISSING", "investor_name", "10001")]
    assert (
        pipeline.database.scalar("SELECT errors->0->>'record_id' FROM vantage_sync_state WHERE resource = 'accounts'")
        == "10001"
    )
    account["investor_name"] = "Named"
    pipeline.sync("accounts", full=True)
    assert pipeline.database.scalar("SELECT count(*) FROM vantage_quarantine WHERE resolved_at IS NULL") == 0
    assert pipeline.database.scalar("SELECT count(*) FROM investors") == 60


def test_a_refused_record_that_the_source_no_longer_has_leaves_the_quarantine(pipeline: Pipeline) -> None:
    accounts = pipeline.sandbox.vantage.records["accounts"]
    accounts[0]["investor_name"] = None
    pipeline.sync("accounts")
    del accounts[0]
    pipeline.sync("accounts")
    assert pipeline.database.scalar("SELECT count(*) FROM vantage_quarantine WHERE resolved_at IS NULL") == 1
    pipeline.sync("accounts", full=True)
    assert pipeline.database.rows("SELECT record_key, resolution FROM vantage_quarantine") == [
        ("10001", "no longer in the source")
    ]


def test_too_many_rejections_fail_the_sync_and_keep_what_was_good(pipeline: Pipeline) -> None:
    for account in pipeline.sandbox.vantage.records["accounts"][:12]:
        account["main_phone"] = "1"
    with pytest.raises(TooManyRejections, match="12 of 60"):
        pipeline.sync("accounts")
    assert pipeline.database.rows(
        "SELECT last_sync_status, last_sync_time FROM vantage_sync_state WHERE resource = 'accounts'"
    ) == [("failed", None)]
    assert pipeline.database.scalar("SELECT count(*) FROM investors") == 48


def test_a_child_before_its_parent_is_linked_when_the_parent_comes(pipeline: Pipeline) -> None:
    report = pipeline.sync("cashflows")
    assert report.counts.created == 150
    assert pipeline.database.scalar("SELECT count(*) FROM vantage_pending_links") == 300
    pipeline.sync("accounts")
    pipeline.sync("funds")
    assert pipeline.database.scalar("SELECT count(*) FROM vantage_pending_links") == 0
    assert (
        pipeline.database.scalar("SELECT count(*) FROM transactions WHERE investor_id IS NULL OR deal_id IS NULL") == 0
    )


def test_what_is_gone_is_marked_and_comes_back(pipeline: Pipeline) -> None:
    pipeline.sync("accounts")
    gone = pipeline.sandbox.vantage.records["accounts"].pop(3)
    assert pipeline.sync("accounts", full=True).deleted == 1
    assert pipeline.database.rows("SELECT external_id FROM investors WHERE deleted_at IS NOT NULL") == [
        (gone["investor_id"],)
    ]
    pipeline.sandbox.vantage.records["accounts"].append(gone)
    pipeline.sync("accounts", full=True)
    assert pipeline.database.scalar("SELECT count(*) FROM investors WHERE deleted_at IS NULL") == 60


def test_a_mass_deletion_and_a_mass_clearing_are_held_back(pipeline: Pipeline) -> None:
    pipeline.sync("accounts")
    records = pipeline.sandbox.vantage.records["accounts"]
    for account in records:
        account.pop("country")
    del records[20:]
    report = pipeline.sync("accounts", full=True)
    assert {(h.kind, h.column) for h in report.held_back} == {("clear", "country"), ("delete", "")}
    assert (
        pipeline.database.scalar("SELECT count(*) FROM investors WHERE country IS NOT NULL AND deleted_at IS NULL")
        == 60
    )
    pipeline.sync("accounts", full=True, allow_clear=["investors.country"])
    assert pipeline.database.scalar("SELECT count(*) FROM investors WHERE country IS NULL") == 20


def test_a_dry_run_leaves_everything_as_it_was_and_predicts(pipeline: Pipeline) -> None:
    pipeline.sync("accounts")
    pipeline.sandbox.vantage.change("accounts", 3, field="country", value="Elsewhere")
    kept = pipeline.database.rows("SELECT * FROM investors ORDER BY id") + pipeline.database.rows(
        "SELECT * FROM vantage_sync_state ORDER BY 1"
    )
    dry = pipeline.sync("accounts", full=True, dry_run=True)
    assert {(d.column, d.old, d.new) for d in dry.differences if d.column == "country"} == {
        ("country", "United States", "Elsewhere")
    }
    after = pipeline.database.rows("SELECT * FROM investors ORDER BY id") + pipeline.database.rows(
        "SELECT * FROM vantage_sync_state ORDER BY 1"
    )
    assert after == kept
    assert pipeline.sync("accounts", full=True).counts == dry.counts


def test_a_failure_in_the_middle_keeps_whole_batches_and_the_next_sync_completes(pipeline: Pipeline) -> None:
    pipeline.changes = {"page_size": 10, "batch_records": 20, "concurrency": 1, "max_attempts": 1}
    pipeline.sandbox.faults.add(Fault("500", match="/api/CashFlows", after=6, times=50))
    with pytest.raises(SourceError):
        pipeline.sync("cashflows")
    there = pipeline.database.scalar("SELECT count(*) FROM transactions")
    assert 0 < there < 150
    assert there % 20 == 0
    assert pipeline.database.rows(
        "SELECT last_sync_status, last_sync_time FROM vantage_sync_state WHERE resource = 'cashflows'"
    ) == [("failed", None)]
    pipeline.sandbox.faults.planned.clear()
    pipeline.sync("cashflows")
    assert pipeline.database.scalar("SELECT count(*) FROM transactions") == 150


def test_a_deletion_while_pages_are_read_loses_no_record(pipeline: Pipeline) -> None:
    pipeline.changes = {"page_size": 10, "concurrency": 1}
    records = pipeline.sandbox.vantage.records["accounts"]
    done: list[str] = []

    def remove_early_one(path: str) -> None:
        if path.startswith("/api/Accounts") and len(pipeline.sandbox.requests) == 2 and not done:
            done.append(records.pop(0)["investor_id"])

    pipeline.sandbox.on_request.append(remove_early_one)
    pipeline.sync("accounts", full=True)
    assert done
    source = {r["investor_id"] for r in records}
    assert {
        r[0] for r in pipeline.database.rows("SELECT external_id FROM investors WHERE external_id <> %s", done[0])
    } == source


def test_one_sync_of_a_resource_at_a_time(pipeline: Pipeline) -> None:
    connection = pipeline.database.connect()
    locks.acquire(connection, "accounts")
    with pytest.raises(SyncAlreadyRunning, match="another sync of it is running"):
        pipeline.sync("accounts")
    locks.release(connection, "accounts")
    assert pipeline.sync("accounts").counts.created == 60
    assert not locks.is_held(connection, "accounts")
    connection.close()


def test_money_keeps_every_digit(pipeline: Pipeline) -> None:
    exact = Decimal("12345678901234567890.123456789")
    pipeline.sandbox.vantage.records["cashflows"][0]["transaction_amount"] = exact
    pipeline.sync("cashflows")
    assert pipeline.database.scalar("SELECT amount FROM transactions WHERE external_id = '1000001'") == exact
