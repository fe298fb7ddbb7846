"""Tables held against the sandbox, both ways: what is found, what is mended, and what stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from vantage_pipeline.errors import SourceError
from vantage_pipeline.orchestration.verification import settled
from vantage_pipeline.sandbox import Fault, Sandbox
from vantage_pipeline.sandbox.bubble_data import iso
from vantage_pipeline.warehouse.verdict import Kind
from vantage_pipeline_tests.database import Database
from vantage_pipeline_tests.pipeline import Pipeline
from vantage_pipeline_tests.verifier import Verifier, listed, names


def test_a_comparison_changes_not_one_byte(vantage: Verifier) -> None:
    vantage.pipeline.sync_all("bubble")
    vantage.database.rows("UPDATE transactions SET amount = amount + 1 WHERE external_id = '1000001'")
    vantage.database.rows("DELETE FROM invoice_item WHERE id = 1")
    vantage.database.rows("UPDATE investments SET committed = 0 WHERE id = 1")
    before = vantage.everything()
    assert not vantage.verify(*names("vantage")).equal
    assert not vantage.verify(*names("bubble")).equal
    assert vantage.everything() == before


def test_equal_tables_are_equal_and_each_resource_says_what_it_has(vantage: Verifier) -> None:
    done = vantage.verify(*names("vantage"))
    assert done.equal
    assert {v.resource: (v.records, v.rows) for v in done.verdicts if v.resource != "vantage/investments"} == {
        "vantage/accounts": (60, 60), "vantage/funds": (7, 7), "vantage/cashflows": (150, 150),
        "vantage/commitments": (60, 60), "vantage/investors": (60, 60), "vantage/valuations": (56, 56),
    }  # fmt: skip


def test_each_difference_of_vantage_is_found_and_mended(vantage: Verifier) -> None:
    database = vantage.database
    database.rows("ALTER TABLE transactions ADD COLUMN added_by_hand text")
    database.rows("UPDATE transactions SET added_by_hand = 'mine ' || id")
    own = "SELECT external_id, id, added_by_hand FROM transactions WHERE external_id NOT IN ('1000002', 'T-1') ORDER BY id"
    kept = database.rows(own)
    # a sum and a field, a row removed, a row too many, two broken links
    database.rows("UPDATE transactions SET amount = amount + 0.000000001 WHERE external_id = '1000001'")
    database.rows("DELETE FROM transactions WHERE external_id = '1000002'")
    database.rows("INSERT INTO transactions (external_id, amount) VALUES ('T-1', 5)")
    fund = database.scalar(
        "SELECT d.external_id FROM transactions t JOIN deals d ON d.id = t.deal_id WHERE t.external_id = '1000003'"
    )
    database.rows("UPDATE transactions SET deal_id = NULL WHERE external_id = '1000003'")
    database.rows(
        "UPDATE transactions SET investor_id = (SELECT id FROM investors WHERE external_id = '10002') WHERE external_id = '1000004'"
    )
    database.rows("UPDATE transactions SET deleted_at = now() WHERE external_id = '1000005'")
    source = {str(r["cashflow_detailid"]): r for r in vantage.sandbox.vantage.records["cashflows"]}
    exact = Decimal(source["1000001"]["transaction_amount"])

    verdict = vantage.found("cashflows")
    assert listed(verdict) == [
        ("1000001", "FIELD", "amount", str(exact + Decimal("0.000000001")), str(source["1000001"]["transaction_amount"])),
        ("1000003", "FIELD", "deal_id", None, fund),
        ("1000004", "FIELD", "investor_id", "10002", source["1000004"]["account_id"]),
        ("1000002", "MISSING", "", None, None),
        ("1000005", "MISSING", "", "marked deleted", None),
        ("T-1", "EXTRA", "", None, None),
    ]  # fmt: skip
    assert (verdict.missing, verdict.extra, verdict.changed) == (2, 1, 3)
    wrong = {(s.column, s.per, s.group): (Decimal(s.here), Decimal(s.source)) for s in verdict.sums}
    here, there = wrong["amount", "fund", source["1000001"]["fund_id"]]
    assert here != there
    assert ("amount", "fund", "(none)") in wrong
    assert there == sum(
        r["transaction_amount"] for r in source.values() if r["fund_id"] == source["1000001"]["fund_id"]
    )

    done = vantage.verify("cashflows", repair=True)
    assert done.equal
    assert [(r.resource, r.created, r.updated, r.deleted) for r in done.repaired] == [("vantage/cashflows", 1, 4, 1)]
    assert database.rows(own) == kept
    assert database.scalar("SELECT deleted_at IS NOT NULL FROM transactions WHERE external_id = 'T-1'")
    assert vantage.verify(*names("vantage")).equal


def test_each_difference_of_bubble_is_found_and_mended(bubble: Verifier) -> None:
    database = bubble.database
    invoices = list(bubble.sandbox.bubble.records["invoice"].values())
    changed, unlinked = (r["_id"] for r in invoices[:2])
    item = next(iter(bubble.sandbox.bubble.records["invoice_item"].values()))["_id"]
    linked = database.scalar("SELECT linked_invoice FROM invoice_item WHERE bubble_id = %s", item)
    database.rows("UPDATE invoice SET internal_notes = 'mine ' || id")
    database.rows("UPDATE invoice SET dealercode = 'by hand', amount = amount + 1 WHERE bubble_id = %s", changed)
    customer = database.scalar("SELECT linked_customer FROM invoice WHERE bubble_id = %s", unlinked)
    database.rows("UPDATE invoice SET linked_customer = NULL WHERE bubble_id = %s", unlinked)
    database.rows("INSERT INTO invoice (bubble_id, amount) VALUES ('9x9', 1)")
    database.rows("UPDATE invoice_item SET amount = amount + 0.01 WHERE bubble_id = %s", item)
    notes = database.rows("SELECT bubble_id, internal_notes, created_at FROM invoice ORDER BY id")
    gone = database.scalar("SELECT bubble_id FROM payment ORDER BY id LIMIT 1")
    database.rows("DELETE FROM payment WHERE bubble_id = %s", gone)

    verdicts = {v.resource: v for v in bubble.verify(*names("bubble")).verdicts}
    assert {(key, field) for key, _, field, _, _ in listed(verdicts["bubble/invoice"])} == {
        (changed, "dealercode"), (changed, "amount"), (unlinked, "linked_customer"), ("9x9", ""),
    }  # fmt: skip
    assert (unlinked, "FIELD", "linked_customer", None, customer) in listed(verdicts["bubble/invoice"])
    assert [(s.per, s.group) for s in verdicts["bubble/invoice_item"].sums] == [("invoice", linked)]
    assert listed(verdicts["bubble/payment"]) == [(gone, "MISSING", "", None, None)]

    done = bubble.verify(*names("bubble"), repair=True)
    assert done.equal
    assert {r.resource: (r.created, r.updated, r.deleted) for r in done.repaired if r.resource != "bubble/links"} == {
        "bubble/invoice": (0, 2, 1), "bubble/payment": (1, 0, 0), "bubble/invoice_item": (0, 1, 0),
    }  # fmt: skip
    assert database.rows("SELECT bubble_id, internal_notes, created_at FROM invoice ORDER BY id") == notes
    assert database.scalar("SELECT linked_customer FROM invoice WHERE bubble_id = %s", unlinked) == customer


def test_positions_are_compared_with_what_they_would_be_now(vantage: Verifier) -> None:
    database = vantage.database
    database.rows("UPDATE investments SET committed = committed + 1 WHERE id = 1")
    database.rows("DELETE FROM investments WHERE id = 2")
    database.rows("UPDATE investments SET deleted_at = now() WHERE id = 3")
    verdict = vantage.found("investments")
    assert (verdict.changed, verdict.missing, verdict.extra) == (1, 2, 0)
    assert {m.field for m in verdict.mismatches} == {"", "committed"}
    assert vantage.verify("investments", repair=True).equal
    vantage.sandbox.vantage.change("cashflows", 1, field="transaction_amount", value=Decimal("7.77"))
    vantage.pipeline.sync("cashflows")
    waits = vantage.found("investments")
    assert (waits.equal, waits.waiting) == (True, 1)


def test_a_repaired_link_is_no_difference_until_someone_changes_it(bubble: Verifier) -> None:
    database = bubble.database
    repairs = "SELECT row_key, value FROM vantage_link_repairs WHERE table_name = 'invoice_item' ORDER BY 1"
    assert database.rows(repairs)
    assert bubble.found("bubble/invoice_item").equal
    key, value = database.rows(repairs)[0]
    database.rows("UPDATE invoice_item SET linked_invoice = NULL WHERE bubble_id = %s", key)
    assert listed(bubble.found("bubble/invoice_item")) == [(key, "FIELD", "linked_invoice", None, value)]
    assert not bubble.found("bubble/links").equal
    assert bubble.verify("bubble/invoice_item", "bubble/links", repair=True).equal
    assert database.scalar("SELECT linked_invoice FROM invoice_item WHERE bubble_id = %s", key) == value


def test_what_the_source_changed_since_waits_and_is_no_difference(vantage: Verifier) -> None:
    vantage.pipeline.sync_all("bubble")
    vantage.sandbox.vantage.change("accounts", 3, field="country", value="Elsewhere")
    new = {**vantage.sandbox.vantage.records["accounts"][0], "investor_id": "A-new"}
    vantage.sandbox.vantage.records["accounts"].append(new)
    vantage.sandbox.bubble.put("payment", {"_id": "7x7", "Amount": 5})
    customer = next(iter(vantage.sandbox.bubble.records["customer_profile"].values()))
    vantage.sandbox.bubble.put("customer_profile", {**customer, "Name": "renamed"})
    accounts = vantage.found("accounts")
    assert (accounts.equal, accounts.waiting) == (True, 4)
    waiting = {v.resource: v.waiting for v in vantage.verify(*names("bubble")).verdicts if v.waiting}
    assert waiting == {"bubble/payment": 1, "bubble/customer": 1}
    vantage.pipeline.sync("accounts")
    assert vantage.found("accounts").waiting == 0


def test_a_change_by_hand_of_a_record_that_was_synced_a_moment_ago_is_found(vantage: Verifier) -> None:
    vantage.sandbox.vantage.change("accounts", 1, field="country", value="Elsewhere")
    vantage.pipeline.sync("accounts")
    vantage.database.rows("UPDATE investors SET country = 'by hand' WHERE external_id = '10001'")
    assert listed(vantage.found("accounts")) == [("10001", "FIELD", "country", "by hand", "Elsewhere")]


def test_a_link_to_a_record_that_waits_does_too(bubble: Verifier) -> None:
    customer = next(iter(bubble.sandbox.bubble.records["customer_profile"].values()))
    customer["Linked Agent"] = "5x5"
    bubble.sandbox.bubble.changed("customer_profile")
    bubble.pipeline.sync("bubble/customer", full=True)
    bubble.database.rows(
        "UPDATE vantage_sync_state SET last_sync_time = last_sync_time - interval '1 day' WHERE resource = 'bubble_agent'"
    )
    bubble.sandbox.bubble.put("agent", {"_id": "5x5", "Name": "New"})
    verdicts = {v.resource: v for v in bubble.verify(*names("bubble")).verdicts}
    assert (verdicts["bubble/agent"].waiting, verdicts["bubble/customer"].waiting) == (1, 1)
    assert verdicts["bubble/customer"].equal
    bubble.pipeline.sync("bubble/agent")
    assert bubble.verify(*names("bubble")).equal


def test_quarantined_and_pending_records_and_rows_of_others_are_accounted_for(verifier: Verifier) -> None:
    accounts = verifier.sandbox.vantage.records["accounts"]
    accounts[0]["investor_name"] = None
    flows = verifier.sandbox.vantage.records["cashflows"]
    flows[0]["account_id"] = "nobody"
    flows[1]["transaction_amount"] = Decimal("1e15")  # a constraint of the database's own refuses it
    flows[2]["transaction_date"] = "0001-13-40"
    verifier.database.rows("ALTER TABLE transactions ADD CHECK (amount < 1e12)")
    database = verifier.database
    database.rows(
        "INSERT INTO investors (name, source_kind, external_id) VALUES ('Mine', 'DISTRIBUTOR', %s), ('Too', 'DISTRIBUTOR', NULL)",
        accounts[1]["investor_id"],
    )
    database.rows("INSERT INTO deals (name) VALUES ('Of our own')")
    verifier.pipeline.sync_all("vantage")
    done = verifier.verify(*names("vantage"))
    assert done.equal, [v.mismatches for v in done.verdicts]
    verdicts = {v.resource: v for v in done.verdicts}
    assert (verdicts["vantage/accounts"].quarantined, verdicts["vantage/cashflows"].quarantined) == (2, 2)
    assert (verdicts["vantage/cashflows"].records, verdicts["vantage/cashflows"].rows) == (150, 148)
    why = {(a.key, a.why.partition(":")[0]) for a in verdicts["vantage/accounts"].accounted}
    assert why == {
        (accounts[0]["investor_id"], "in quarantine"),
        (accounts[1]["investor_id"], "in quarantine"),
    }
    assert ("1000001", "investor_id waits for investors nobody: no such record") in {
        (a.key, a.why) for a in verdicts["vantage/cashflows"].accounted
    }


def test_what_is_gone_from_the_source_and_marked_is_fine(vantage: Verifier) -> None:
    gone = vantage.sandbox.vantage.records["cashflows"].pop()
    assert listed(vantage.found("cashflows")) == [(str(gone["cashflow_detailid"]), "EXTRA", "", None, None)]
    vantage.pipeline.sync("cashflows", full=True)
    assert vantage.found("cashflows").equal


def test_a_source_that_cannot_be_read_is_an_error_and_no_verdict(vantage: Verifier) -> None:
    before = vantage.everything()
    vantage.sandbox.faults.add(Fault("500", match="/api/CashFlows", times=50))
    with pytest.raises(SourceError):
        vantage.verify("cashflows", repair=True)
    assert vantage.everything() == before


def test_more_differences_than_are_listed_are_counted(
    make_sandbox: Callable[..., Sandbox], embedded: Database, state_dir: Path
) -> None:
    verifier = Verifier(Pipeline(make_sandbox(cash_flows=900), embedded), state_dir)
    verifier.pipeline.sync("cashflows")
    verifier.database.rows("UPDATE transactions SET notes = 'by hand ' || id")
    verdict = verifier.found("cashflows")
    assert (verdict.changed, len(verdict.mismatches)) == (900, 200)
    assert {m.kind for m in verdict.mismatches} == {Kind.FIELD}


def test_a_watermark_says_from_when_on_changes_wait() -> None:
    end_of_day = datetime(2026, 3, 4, tzinfo=UTC)
    assert settled(None, 300) is None
    assert settled(end_of_day, 300) == end_of_day
    moment = datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC)
    assert settled(moment, 300) == moment.replace(microsecond=0) + timedelta(minutes=5)
    assert iso(moment).endswith("07.890Z")
