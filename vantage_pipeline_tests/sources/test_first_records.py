"""A limit reads no more records than it says, whatever pages they come in."""

from __future__ import annotations

import pytest

from vantage_pipeline import catalog
from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline.sources.bubble import BubbleClient
from vantage_pipeline.sources.spans import bounded
from vantage_pipeline.sources.vantage import VantageClient
from vantage_pipeline.sources.windows import Window
from vantage_pipeline_tests.pipeline import Pipeline, settings_for


@pytest.mark.parametrize("most", [1, 7, 100, 500])
def test_bounded_spans_are_the_first_records_exactly(most: int) -> None:
    for limit in (1, 2, 10, 99, 500, 501, 999, 1_201):
        spans = list(bounded(limit, most))
        assert [span.start for span in spans] == [0, *(span.end for span in spans[:-1])]
        assert spans[-1].end == limit
        assert max(span.size for span in spans) <= most


@pytest.mark.parametrize(("limit", "page_size"), [(10, 500), (37, 10), (150, 20), (1_000, 500)])
def test_vantage_is_asked_for_no_more(sandbox: Sandbox, limit: int, page_size: int) -> None:
    client = VantageClient(settings_for(sandbox, page_size=page_size))
    pages = list(client.read(catalog.dataset_of("transactions"), since=None, limit=limit))
    client.close()
    expected = [r["cashflow_detailid"] for r in sandbox.vantage.records["cashflows"][:limit]]
    assert [record["cashflow_detailid"] for page in pages for record in page.records] == expected
    asked = sum(int(r.query["per_page"]) for r in sandbox.requests)
    assert asked == limit if limit <= 150 else len(sandbox.requests) == 1


@pytest.mark.parametrize("step", [None, 9])
def test_an_api_with_page_sizes_of_its_own(sandbox: Sandbox, step: int | None) -> None:
    sandbox.vantage.most_per_page = 20
    sandbox.vantage.size_step = step or 1
    client = VantageClient(settings_for(sandbox))
    pages = list(client.read(catalog.dataset_of("transactions"), since=None, limit=50))
    client.close()
    expected = [r["cashflow_detailid"] for r in sandbox.vantage.records["cashflows"][:50]]
    assert [record["cashflow_detailid"] for page in pages for record in page.records] == expected


def test_a_limit_is_of_the_resource(pipeline: Pipeline) -> None:
    pipeline.sync("accounts")
    pipeline.sandbox.requests.clear()
    assert pipeline.sync("vantage/investors", limit=10).fetched == 10
    assert [r.query["per_page"] for r in pipeline.sandbox.requests] == ["10"]
    pipeline.sandbox.requests.clear()
    assert pipeline.sync("vantage/investors", limit=33).fetched == 33
    assert len(pipeline.sandbox.requests) == 2
    pipeline.sandbox.requests.clear()
    assert pipeline.sync("valuations", limit=10).fetched == 10
    assert [r.path.split("/")[2] for r in pipeline.sandbox.requests] == ["Funds", "Financials", "Financials"]
    assert pipeline.sandbox.requests[0].query["per_page"] == "10"


@pytest.mark.parametrize("limit", [1, 10, 100, 130, 250])
def test_bubble_is_asked_for_no_more(sandbox: Sandbox, limit: int) -> None:
    store = sandbox.bubble.records["agent"]
    first = next(iter(store.values()))
    moment = "2026-05-0{}T00:00:00.000Z"
    for number in range(200 - len(store)):
        stamped = {**first, "_id": f"{10**12 + number}x{number}", "Modified Date": moment.format(1 + number // 120)}
        sandbox.bubble.put("agent", stamped, touch=False)
    client = BubbleClient(settings_for(sandbox))
    pages = list(client.read(catalog.dataset_of("agent"), Window(), limit=limit))
    client.close()
    found = [record["_id"] for page in pages for record in page.records]
    assert len(found) == len(set(found)) == min(limit, 200)
    if limit <= 100:
        assert [r.query["limit"] for r in sandbox.requests] == [str(limit)]


def test_a_limited_backfill_and_invoices_tried_dry(pipeline: Pipeline) -> None:
    invoice = next(iter(pipeline.sandbox.bubble.records["invoice"]))
    dry = pipeline.sync("bubble/invoice", ids=[invoice], dry_run=True)
    assert dry.counts.created == 1
    assert pipeline.database.scalar("SELECT count(*) FROM invoice") == 0
    assert pipeline.sync("bubble/invoice", ids=[invoice]).counts == dry.counts
    assert pipeline.sync("bubble/invoice", limit=3).fetched == 3
