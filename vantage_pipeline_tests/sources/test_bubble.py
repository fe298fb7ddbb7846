from __future__ import annotations

import pytest

from vantage_pipeline import catalog
from vantage_pipeline.errors import SourceNotFound
from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline.sources.bubble import BubbleClient
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
    with pytest.raises(SourceNotFound, match="agent"):
        client.one(agents, record_id)
    client.close()


def test_the_development_branch_is_read_by_its_address(sandbox: Sandbox) -> None:
    address = f"{sandbox.address}/version-test/api/1.1"
    client = BubbleClient(settings_for(sandbox, BUBBLE_API_BASE_URL=address))
    assert client.probe() == "reachable, 2 agents"
    assert [request.path for request in sandbox.requests] == ["/version-test/api/1.1/obj/agent"]
    client.close()
