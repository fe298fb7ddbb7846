"""A type that cannot be read keeps none of the others from being synced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import dagster as dg
import pytest

from vantage_pipeline import catalog
from vantage_pipeline.orchestration.catchup import days_due
from vantage_pipeline.orchestration.skipped import requests_after
from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline.settings import Settings
from vantage_pipeline_tests.database import Database
from vantage_pipeline_tests.pipeline import Pipeline


def test_links_to_a_hidden_type_wait_and_the_rows_go_in(pipeline: Pipeline) -> None:
    pipeline.sandbox.bubble.denied.add("agent")
    del pipeline.sandbox.bubble.records["submit_payment"]
    pipeline.sync("bubble/invoice", full=True)
    database = pipeline.database
    assert database.scalar("SELECT count(*) FROM invoice") == len(pipeline.sandbox.bubble.records["invoice"])
    assert database.scalar("SELECT count(*) FROM vantage_pending_links WHERE parent_table = 'agent'") > 0
    pipeline.sandbox.bubble.denied.clear()
    pipeline.sync("bubble/agent", full=True)
    assert database.scalar("SELECT count(*) FROM vantage_pending_links WHERE parent_table = 'agent'") == 0


def test_a_single_invoice_comes_without_what_the_app_does_not_have(pipeline: Pipeline) -> None:
    records = pipeline.sandbox.bubble.records
    invoice = next(record for record in records["invoice"].values() if record.get("Linked Payment"))
    del records["submit_payment"]
    pipeline.sandbox.bubble.denied.add("payment")
    pipeline.sync("bubble/invoice", ids=[invoice["_id"]])
    assert pipeline.reading is not None
    assert set(pipeline.reading.outcome.unreadable) == {"payment", "submitted_payment"}
    assert pipeline.database.scalar("SELECT count(*) FROM invoice_item") == len(invoice["Linked Invoice Item"])


@pytest.mark.timeout(300)
def test_what_dagster_skips_after_a_failure_is_asked_for_again(
    embedded: Database,
    dagster_instance: dg.DagsterInstance,
    sandbox: Sandbox,
    use_environment: Callable[[Mapping[str, str]], Settings],
) -> None:
    from vantage_pipeline.definitions import defs

    use_environment({**sandbox.environment(), "VANTAGE_PIPELINE_FULL_MARKS_DAYS": "1"})
    sandbox.bubble.denied.add("customer_profile")
    job = defs.resolve_job_def("bubble_full")
    days = {"dagster/asset_partition_range_start": "2026-01-01", "dagster/asset_partition_range_end": "2026-01-01"}
    failed = job.execute_in_process(instance=dagster_instance, raise_on_error=False, tags=days)
    assert not failed.success
    run = dagster_instance.get_run_by_id(failed.run_id)
    assert run is not None
    assert embedded.scalar("SELECT count(*) FROM invoice") == 0

    (asked,) = requests_after(dagster_instance, run)
    assert asked.asset_selection is not None
    names = {key.path[-1] for key in asked.asset_selection}
    assert {"invoice", "payment", "seda_registration", "links"} <= names
    assert "customer" not in names
    again = defs.resolve_job_def(str(asked.job_name)).execute_in_process(
        instance=dagster_instance, raise_on_error=False, tags=dict(asked.tags), run_config=dict(asked.run_config or {}),
        asset_selection=list(asked.asset_selection),
    )  # fmt: skip
    assert again.success
    assert embedded.scalar("SELECT count(*) FROM invoice") == len(sandbox.bubble.records["invoice"])
    second = dagster_instance.get_run_by_id(again.run_id)
    assert second is not None
    assert requests_after(dagster_instance, second) == []


def test_a_type_that_was_never_read_is_read_whole_and_the_others_by_days(
    embedded: Database, sandbox: Sandbox, use_environment: Callable[[Mapping[str, str]], Settings]
) -> None:
    settings, pipeline = use_environment(sandbox.environment()), Pipeline(sandbox, embedded)
    today = datetime.now(UTC).date()
    never = days_due(settings, catalog.BUBBLE_RESOURCES, last=today).whole
    assert [resource.name for resource in never] == [r.name for r in catalog.BUBBLE_RESOURCES if r.partitioned]
    for resource in never:
        if resource.name != "submitted_payment":
            pipeline.sync(resource.asset, full=True)
    due = days_due(settings, catalog.BUBBLE_RESOURCES, last=today)
    assert [resource.name for resource in due.whole] == ["submitted_payment"]
    assert due.days.last == today
