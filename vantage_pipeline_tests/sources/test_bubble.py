from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import pytest

from vantage_pipeline import catalog
from vantage_pipeline.errors import SourceNotFound, SourceProtocolError
from vantage_pipeline.records.model import Page
from vantage_pipeline.sandbox import Fault, Sandbox
from vantage_pipeline.sources.bubble import BubbleClient
from vantage_pipeline.sources.windows import Window
from vantage_pipeline_tests.pipeline import settings_for


def test_one_record_by_id(sandbox: Sandbox) -> None:
    client = BubbleClient(settings_for(sandbox))
    agents = catalog.dataset_of("agent")
    record_id, record = next(iter(sandbox.bubble.records["agent"].items()))
    found = client.one(agents, record_id)
    assert found is not None
    assert (found["_id"], found["Modified Date"]) == (record_id, record["Modified Date"])
    assert client.one(agents, "1x1") is None
    del sandbox.bubble.records["agent"]
    with pytest.raises(SourceNotFound, match=r"agent"):
        client.one(agents, record_id)
    client.close()


def test_the_development_branch_is_read_by_its_address(sandbox: Sandbox) -> None:
    address = f"{sandbox.address}/version-test/api/1.1"
    client = BubbleClient(settings_for(sandbox, BUBBLE_API_BASE_URL=address))
    assert client.probe() == "reachable, 2 agents"
    assert [request.path for request in sandbox.requests] == ["/version-test/api/1.1/obj/agent"]
    client.close()


@pytest.mark.parametrize("times", [1, 99])
def test_the_count_of_what_is_left_is_not_taken_for_the_end(sandbox: Sandbox, times: int) -> None:
    """A full page that says it is the last one is not believed."""
    store = sandbox.bubble.records["agent"]
    first = next(iter(store.values()))
    for number in range(105 - len(store)):
        sandbox.bubble.put("agent", {**first, "_id": f"{10**12 + number}x{number}"})
    sandbox.faults.add(Fault("total_down", "/obj/agent", times=times))
    client = BubbleClient(settings_for(sandbox))
    pages = list(client.read(catalog.dataset_of("agent"), Window()))
    client.close()
    assert {record["_id"] for page in pages for record in page.records} == set(store)
    assert len(store) == 105
    assert sandbox.faults.injected["total_down"] >= 1


def test_an_earlier_page_again_and_again_ends_the_reading(sandbox: Sandbox) -> None:
    store = sandbox.bubble.records["agent"]
    first = next(iter(store.values()))
    for number in range(250):
        moment = f"2026-05-05T00:00:{number // 10:02d}.{number % 10}00Z"
        sandbox.bubble.put(
            "agent", {**first, "_id": f"{10**12 + number}x{number}", "Modified Date": moment}, touch=False
        )
    sandbox.faults.add(Fault("page_repeated", "/obj/agent", times=99, after=1))
    client = BubbleClient(settings_for(sandbox, concurrency=1, max_attempts=3))
    with pytest.raises(SourceProtocolError, match=r"agent records: .*an earlier page once more.*run the sync again"):
        list(client.read(catalog.dataset_of("agent"), Window()))
    client.close()
    assert len(sandbox.requests) == 4


def test_a_page_of_another_part_is_asked_for_again(sandbox: Sandbox) -> None:
    store = sandbox.bubble.records["invoice"]
    moments = sorted(datetime.fromisoformat(record["Modified Date"]) for record in store.values())
    middle = moments[len(moments) // 2]
    client = BubbleClient(settings_for(sandbox, concurrency=1))
    dataset = catalog.dataset_of("invoice")

    def ids(pages: Iterable[Page]) -> set[str]:
        return {record["_id"] for page in pages for record in page.records}

    later = ids(client.read(dataset, Window(start=middle)))
    sandbox.faults.add(Fault("page_repeated", "/obj/invoice"))
    earlier = ids(client.read(dataset, Window(end=middle)))
    assert sandbox.faults.injected["page_repeated"] == 1
    assert earlier == set(store) - later

    asked = sorted(store)[:5]
    sandbox.faults.add(Fault("page_repeated", "/obj/invoice"))
    assert ids(client.by_ids(dataset, asked)) == set(asked)
    assert sandbox.faults.injected["page_repeated"] == 2
    client.close()
