from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from vantage_pipeline.catalog import RESOURCES
from vantage_pipeline.definitions import defs
from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline.settings import Settings


def test_each_resource_is_an_asset_and_the_graph_is_the_load_order() -> None:
    graph = defs.resolve_asset_graph()
    keys = {key.to_user_string() for key in graph.get_all_asset_keys()}
    others = {"vantage/verification", "bubble/verification", "operations/report"}
    assert keys == {resource.asset for resource in RESOURCES} | others
    for system in ("vantage", "bubble"):
        verification = graph.get(dg.AssetKey([system, "verification"]))
        assert {parent.to_user_string() for parent in verification.parent_keys} == {
            resource.asset for resource in RESOURCES if resource.system == system
        }
    payment = graph.get(dg.AssetKey(["bubble", "payment"]))
    assert dg.AssetKey(["bubble", "invoice"]) in payment.parent_keys
    invoice = graph.get(dg.AssetKey(["bubble", "invoice"]))
    assert dg.AssetKey(["bubble", "agent"]) in invoice.parent_keys
    assert invoice.is_partitioned


@pytest.mark.usefixtures("embedded")
def test_the_schedules_ask_for_the_days_that_are_due(
    sandbox: Sandbox, use_environment: Callable[[Mapping[str, str]], Settings]
) -> None:
    use_environment(sandbox.environment())
    schedule = defs.resolve_schedule_def("bubble_daily")
    context = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 3, 3, tzinfo=UTC))
    (request,) = schedule.evaluate_tick(context).run_requests or ()
    assert request.tags["dagster/asset_partition_range_end"] == "2026-03-02"
    assert request.run_config["ops"]["bubble__invoice"]["config"]["mode"] == "FULL"


def test_no_secret_is_in_the_instances_configuration() -> None:
    text = (Path(__file__).resolve().parents[2] / "dagster.yaml").read_text()
    assert "postgresql://" not in text
    assert "PipelineStorage" in text


def test_the_sync_jobs_have_the_checks_of_the_sync_and_not_those_of_the_health() -> None:
    for name in ("vantage_incremental", "vantage_full", "bubble_daily", "bubble_full", "sync_invoice"):
        checks = {key.name for key in defs.resolve_job_def(name).asset_layer.asset_graph.asset_check_keys}
        assert "keys_unique" in checks
        steps = {node.name for node in defs.resolve_job_def(name).nodes}
        assert not any(step.endswith("healthy") for step in steps), name
