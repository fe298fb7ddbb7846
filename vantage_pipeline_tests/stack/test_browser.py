"""What a person does in the Dagster UI, and what they then see."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from vantage_pipeline_tests.stack.stack import Held, Stack, eventually

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]


def _open(page: Page, stack: Stack, path: str) -> None:
    page.goto(f"{stack.address}{path}", wait_until="domcontentloaded")


def _seen_in_metadata(page: Page, name: str) -> str:
    return page.locator("tr", has=page.get_by_role("cell", name=name, exact=True)).locator("td").nth(1).inner_text()


def test_an_asset_is_materialized_by_a_click(page: Page, stack: Stack) -> None:
    _open(page, stack, "/assets/vantage/funds?view=events")
    page.get_by_role("button", name="Materialize").first.click()
    expect(page.get_by_text("Materialized in run").or_(page.get_by_text("materialized in run")).first).to_be_visible()
    assert _seen_in_metadata(page, "created") == "7"
    database = stack.database()
    assert database.scalar("SELECT count(*) FROM deals") == 7
    assert (
        database.rows("SELECT status, triggered_by FROM vantage_sync_history WHERE resource = 'funds'")[0][0]
        == "success"
    )
    database.close()


def test_a_range_of_invoice_days_is_backfilled_in_one_run(page: Page, stack: Stack) -> None:
    database = stack.database()
    invoices = stack.sandbox.bubble.records["invoice"].values()
    inside = {i["_id"] for i in invoices if "2026-01-05" <= i["Modified Date"][:10] <= "2026-02-03"}
    assert inside

    for _ in range(2):
        before = database.scalar("SELECT count(*) FROM vantage_sync_history WHERE resource = 'bubble_invoice'")
        asked = len([r for r in stack.sandbox.requests if r.path.endswith("/obj/invoice")])
        _open(page, stack, "/assets/bubble/invoice")
        page.get_by_role("button", name="Materialize").first.click()
        confirm = page.get_by_role("button", name="Confirm")
        everything = page.get_by_text("Show all partitions")
        expect(confirm.or_(everything).first).to_be_visible()
        if confirm.is_visible():
            confirm.click()
        everything.click()
        dialog = page.get_by_role("dialog").last
        days = dialog.locator("input[type=text]").first
        days.fill("[2026-01-05...2026-02-03]")
        days.press("Enter")
        dialog.get_by_role("button", name="Launch backfill").click()
        eventually(
            "the backfill",
            lambda before=before: (
                database.scalar(  # type: ignore[misc]
                    "SELECT count(*) FROM vantage_sync_history WHERE resource = 'bubble_invoice' AND status = 'success'"
                )
                == before + 1
            ),
        )
        listed = len([r for r in stack.sandbox.requests if r.path.endswith("/obj/invoice")]) - asked
        assert listed == 1, "a range of days is one reading"

    there = {r[0] for r in database.rows("SELECT bubble_id FROM invoice")}
    assert inside <= there
    runs = database.rows(
        "SELECT records_created, records_updated FROM vantage_sync_history"
        " WHERE resource = 'bubble_invoice' ORDER BY started_at"
    )
    assert runs[0][0] == len(inside)
    assert runs[1] == (0, 0)
    database.close()

    _open(page, stack, "/runs?view=backfills")
    expect(page.get_by_text("Success")).to_have_count(2)
    expect(page.get_by_text("30 partitions")).to_have_count(2)
    _open(page, stack, "/assets/bubble/invoice?view=partitions")
    expect(page.get_by_text("Materialized (30)")).to_be_visible()
    _open(page, stack, "/assets/bubble/invoice?view=events")
    expect(page.get_by_text(re.compile("materialized in run")).first).to_be_visible()
    assert _seen_in_metadata(page, "created") == "0"
    assert _seen_in_metadata(page, "unchanged") == str(len(inside))


def test_a_run_is_cancelled_in_the_ui(page: Page, stack: Stack) -> None:
    held = Held(stack)
    _open(page, stack, f"/runs/{held.run_id}")
    page.get_by_role("button", name="Terminate").click()
    page.get_by_role("dialog").get_by_role("button", name=re.compile("Terminate")).click()
    database = stack.database()
    status = eventually(
        "the cancelled run in the history",
        lambda: database.scalar(
            "SELECT status FROM vantage_sync_history WHERE run_id = %s AND status <> 'running'", held.run_id
        ),
    )
    held.let_go()
    assert status == "cancelled"
    assert database.scalar("SELECT count(*) FROM vantage_sync_history WHERE run_id = %s", held.run_id) == 1
    database.close()
