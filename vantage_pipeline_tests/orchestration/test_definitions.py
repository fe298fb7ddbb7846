from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.errors import ScheduleExecutionError
from dagster._daemon.sensor import MIN_INTERVAL_LOOP_TIME

from vantage_pipeline.catalog import RESOURCES
from vantage_pipeline.definitions import defs
from vantage_pipeline.errors import DatabaseUnreachable
from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse import engine
from vantage_pipeline_tests.database import Database


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


@pytest.mark.parametrize("system", ["vantage", "bubble"])
def test_a_weekly_full_sync_sees_what_is_gone(
    sandbox: Sandbox, use_environment: Callable[[Mapping[str, str]], Settings], system: str
) -> None:
    schedule = defs.resolve_schedule_def(f"{system}_weekly_full")
    assert schedule.job_name == f"{system}_full"
    at = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 3, 7, 2, tzinfo=UTC))
    use_environment({})
    assert not schedule.evaluate_tick(at).run_requests
    use_environment(sandbox.environment())
    (request,) = schedule.evaluate_tick(at).run_requests or ()
    assert request.tags.get("dagster/asset_partition_range_end") == ("2026-03-07" if system == "bubble" else None)


def test_a_database_that_is_down_fails_the_tick_and_the_next_one_asks_for_the_days_that_were_missed(
    sandbox: Sandbox,
    embedded: Database,
    dagster_instance: dg.DagsterInstance,
    use_environment: Callable[[Mapping[str, str]], Settings],
) -> None:
    embedded.execute(
        "INSERT INTO vantage_sync_state (resource, last_sync_time) SELECT r, '2026-03-01T23:55Z' FROM unnest(%s) r"
        " ON CONFLICT (resource) DO UPDATE SET last_sync_time = excluded.last_sync_time",
        ([resource.state for resource in RESOURCES],),
    )
    schedule = defs.resolve_schedule_def("bubble_daily")

    def tick(day: int) -> dg.RunRequest:
        at = datetime(2026, 3, day, tzinfo=UTC)
        (request,) = schedule.evaluate_tick(dg.build_schedule_context(scheduled_execution_time=at)).run_requests or ()
        return request

    use_environment({**sandbox.environment(), "DATABASE_URL": "postgresql://someone@127.0.0.1:9/x"})
    with pytest.raises(ScheduleExecutionError) as failed:
        tick(3)
    assert isinstance(failed.value.__cause__, DatabaseUnreachable)
    assert getattr(dagster_instance.scheduler, "max_tick_retries", 0) >= 60, "a minute each"
    use_environment({**sandbox.environment(), "DATABASE_URL": embedded.url})
    tags = tick(6).tags
    assert tags["dagster/asset_partition_range_start"] == "2026-03-01"
    assert tags["dagster/asset_partition_range_end"] == "2026-03-05"


def test_within_a_minute_of_the_daemons_return_no_sync_says_that_it_runs_without_a_live_run(
    dagster_instance: dg.DagsterInstance,
) -> None:
    """The bound as the configuration gives it: each step waits no longer than its interval."""
    said = {name: int(value) for name, value in re.findall(r"tcp_keepalives_(\w+)=(\d+)", engine.SESSION)}
    lock_is_free = said["idle"] + said["interval"] * said["count"]
    looks = {
        name: (defs.resolve_sensor_def(name).minimum_interval_seconds or 0) + MIN_INTERVAL_LOOP_TIME
        for name in ("close_lost_runs", "record_failed_runs", "record_cancelled_runs", "record_succeeded_runs")
    }
    assert lock_is_free + looks["close_lost_runs"] <= 60
    assert dagster_instance.run_monitoring_enabled
    polled = dagster_instance.run_monitoring_poll_interval_seconds
    assert polled + max(looks.values()) <= 60
    for name in looks:
        assert defs.resolve_sensor_def(name).default_status is dg.DefaultSensorStatus.RUNNING


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
