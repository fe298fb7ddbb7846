from __future__ import annotations

from typing import Any

from vantage_pipeline_tests.pipeline import Pipeline

LINK = "SELECT linked_agent FROM customer WHERE customer_id = '3x3'"
WAITING = "SELECT parent_key FROM vantage_pending_links WHERE table_name = 'customer' AND row_key = '3x3'"


def put(pipeline: Pipeline, type_name: str, key: str, **fields: Any) -> None:
    pipeline.sandbox.bubble.put(type_name, {"_id": key, **fields})


def empty(pipeline: Pipeline) -> None:
    for name, records in pipeline.sandbox.bubble.records.items():
        records.clear()
        pipeline.sandbox.bubble.changed(name)


def test_a_link_through_a_user_follows_the_user_to_another_agent_and_to_none(pipeline: Pipeline) -> None:
    empty(pipeline)
    put(pipeline, "agent", "1x1")
    put(pipeline, "agent", "2x2")
    put(pipeline, "user", "9x9", **{"Linked Agent Profile": "1x1"})
    put(pipeline, "customer_profile", "3x3", **{"Linked Agent": "9x9"})
    pipeline.sync_all("bubble")
    assert pipeline.database.scalar(LINK) == "1x1"
    put(pipeline, "user", "9x9", **{"Linked Agent Profile": "2x2"})
    assert pipeline.sync("bubble/user").links_filled == 1
    assert pipeline.database.scalar(LINK) == "2x2"
    put(pipeline, "user", "9x9")
    pipeline.sync("bubble/user")
    assert pipeline.database.scalar(LINK) is None
    assert pipeline.database.rows(WAITING) == [("9x9",)]


def test_a_link_through_a_user_whose_agent_comes_last(pipeline: Pipeline) -> None:
    empty(pipeline)
    put(pipeline, "user", "9x9", **{"Linked Agent Profile": "1x1"})
    put(pipeline, "customer_profile", "3x3", **{"Linked Agent": "9x9"})
    pipeline.sync_all("bubble")
    assert pipeline.database.rows(WAITING) == [("9x9",)]
    put(pipeline, "agent", "1x1")
    pipeline.sync("bubble/agent")
    assert pipeline.database.scalar(LINK) == "1x1"
    assert pipeline.database.rows(WAITING) == []
