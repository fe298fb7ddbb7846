from __future__ import annotations

from collections.abc import Callable
from itertools import islice, pairwise

import pytest

from vantage_pipeline import catalog
from vantage_pipeline.sandbox import Fault, Sandbox
from vantage_pipeline.sources.spans import joined, overlapping
from vantage_pipeline.sources.vantage import VantageClient
from vantage_pipeline_tests.database import Database
from vantage_pipeline_tests.pipeline import Pipeline, settings_for


@pytest.mark.parametrize("most", [25, 100, 500])
def test_spans_overlap_and_go_on(most: int) -> None:
    spans = list(islice(overlapping(most), 300))
    assert (spans[0].start, spans[0].end) == (0, most)
    for one, other in pairwise(spans):
        assert one.start < other.start < one.end < other.end
        assert other.size <= most


@pytest.mark.parametrize("most", [1, 2, 3, 7, 10])
def test_tiny_pages_join(most: int) -> None:
    spans = list(islice(overlapping(most), 50))
    assert all(other.start <= one.end < other.end for one, other in pairwise(spans))


@pytest.mark.parametrize("most", range(2, 12))
def test_no_span_but_the_first_begins_at_the_beginning(most: int) -> None:
    spans = list(islice(overlapping(most, most - 1), 50))
    assert all(other.start <= one.end < other.end for one, other in pairwise(spans))
    assert all(span.start > 0 and span.size <= most for span in spans[1:])


def test_a_total_that_promises_too_much_of_a_few_records_is_no_repeated_page(
    make_sandbox: Callable[..., Sandbox],
) -> None:
    sandbox = make_sandbox(accounts=2)
    sandbox.faults.add(Fault("total_up", "/api/Accounts", times=1))
    ids, _ = read(sandbox, page_size=3)
    assert ids == [account["investor_id"] for account in sandbox.vantage.records["accounts"]]


@pytest.mark.parametrize("first", [499, 500])
def test_overlapping_costs_few_pages_more(first: int) -> None:
    needed = next(n for n, span in enumerate(overlapping(500, first), start=1) if span.end >= 137_862)
    plain = next(n for n, span in enumerate(joined(500), start=1) if span.end >= 137_862)
    assert plain == 276
    assert needed <= 292


def read(sandbox: Sandbox, **changes: object) -> tuple[list[str], VantageClient]:
    client = VantageClient(settings_for(sandbox, **changes))
    try:
        pages = client.read(catalog.dataset_of("investors"), since=None)
        return [record["investor_id"] for page in pages for record in page.records], client
    finally:
        client.close()


def test_each_record_is_given_once(sandbox: Sandbox) -> None:
    ids, client = read(sandbox, page_size=7)
    assert ids == [account["investor_id"] for account in sandbox.vantage.records["accounts"]]
    assert not client.promises["investors"].moved


@pytest.mark.parametrize(("step", "size"), [(10, 20), (500, 500)])
def test_an_api_with_sizes_of_its_own_is_read_in_two_requests_more_than_pages(
    sandbox: Sandbox, step: int, size: int
) -> None:
    """It rounds what it is asked for down to tens, or has pages of one size."""
    sandbox.vantage.size_step = step
    accounts = [account["investor_id"] for account in sandbox.vantage.records["accounts"]]
    ids, _ = read(sandbox, page_size=20, concurrency=4)
    assert set(ids) == set(accounts)
    assert len(sandbox.requests) <= -(-len(accounts) // size) + 2


@pytest.mark.parametrize("at_once", [1, 4])
def test_an_insert_and_deletions_that_cancel_out_hide_no_record(
    make_sandbox: Callable[..., Sandbox], database: Database, at_once: int
) -> None:
    """The total stays as it is while everything behind the cursor moves up."""
    pipeline = Pipeline(make_sandbox(), database)
    pipeline.changes = {"page_size": 10, "concurrency": 1}
    records = pipeline.sandbox.vantage.records["accounts"]
    source = [account["investor_id"] for account in records]
    done: list[str] = []

    def cancel_out(_path: str) -> None:
        if len(pipeline.sandbox.requests) == 3 and not done:
            for number in range(at_once):
                done.append(records.pop(0)["investor_id"])
                records.append({**records[5], "investor_id": f"new{number}"})

    pipeline.sandbox.on_request.append(cancel_out)
    pipeline.sync("accounts")
    rows = {key for (key,) in database.rows("SELECT external_id FROM investors WHERE deleted_at IS NULL")}
    assert done
    assert rows >= {*source, *(f"new{number}" for number in range(at_once))} - set(done)
