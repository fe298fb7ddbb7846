"""The verification as Dagster runs it: one asset a system, one check a resource, a job and a weekly schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import dagster as dg
import pytest

from vantage_pipeline.catalog import RESOURCES
from vantage_pipeline.definitions import defs
from vantage_pipeline.orchestration.alerting.instance import failed_checks
from vantage_pipeline.orchestration.verification_assets import IN_ORDER
from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline.settings import Settings
from vantage_pipeline_tests.database import Database
from vantage_pipeline_tests.pipeline import Pipeline

Use = Callable[[Mapping[str, str]], Settings]
VANTAGE = dg.AssetKey(["vantage", "verification"])


def materialized(instance: dg.DagsterInstance, *, repair: bool) -> dg.ExecuteInProcessResult:
    return defs.resolve_job_def("verification").execute_in_process(
        instance=instance,
        asset_selection=[VANTAGE],
        run_config={"ops": {"vantage__verification": {"config": {"repair": repair}}}},
        tags={"user": "somebody"},
    )


def test_a_check_for_each_resource_says_what_differs_and_a_repair_mends(
    sandbox: Sandbox, embedded: Database, dagster_instance: dg.DagsterInstance, use_environment: Use
) -> None:
    use_environment(sandbox.environment())
    Pipeline(sandbox, embedded).sync_all("vantage")
    embedded.rows("UPDATE investors SET country = 'by hand' WHERE external_id = '10001'")
    embedded.rows("DELETE FROM valuations WHERE id = 1")
    kept = embedded.rows("SELECT * FROM vantage_sync_history ORDER BY id")

    found = materialized(dagster_instance, repair=False)
    checks = {e.check_name: e for e in found.get_asset_check_evaluations()}
    assert checks.keys() == {f"{r.name}_match_source" for r in RESOURCES if r.system == "vantage"} | {IN_ORDER}
    assert {name for name, e in checks.items() if not e.passed} == {"accounts_match_source", "valuations_match_source"}
    metadata = checks["accounts_match_source"].metadata
    assert (metadata["records"].value, metadata["changed"].value) == (60, 1)
    differences = metadata["differences"]
    assert isinstance(differences, dg.TableMetadataValue)
    assert [(r.data["key"], r.data["field"], r.data["here"]) for r in differences.records] == [
        ("10001", "country", "by hand")
    ]
    assert embedded.rows("SELECT * FROM vantage_sync_history ORDER BY id") == kept

    mended = materialized(dagster_instance, repair=True)
    assert all(e.passed for e in mended.get_asset_check_evaluations())
    assert embedded.rows(
        "SELECT resource, triggered_by FROM vantage_sync_history WHERE run_id = %s ORDER BY 1", mended.run_id
    ) == [(name, "somebody (verification)") for name in ("accounts", "investments", "valuations")]
    (event,) = mended.asset_materializations_for_node("vantage__verification")
    repaired = event.metadata["repaired"]
    assert isinstance(repaired, dg.TableMetadataValue)
    assert [r.data["resource"] for r in repaired.records] == [
        "vantage/accounts", "vantage/valuations", "vantage/investments",
    ]  # fmt: skip


def test_what_is_wrong_in_the_warehouse_itself_fails_a_check_and_alerts(
    sandbox: Sandbox, embedded: Database, dagster_instance: dg.DagsterInstance, use_environment: Use
) -> None:
    use_environment(sandbox.environment())
    Pipeline(sandbox, embedded).sync_all("vantage")
    name = embedded.scalar("SELECT name FROM vantage_schema_objects WHERE kind = 'trigger' AND name LIKE 'vantage\\_%'")
    table, trigger = name.split(".", 1)
    embedded.execute(f'ALTER TABLE "{table}" DISABLE TRIGGER "{trigger}"')
    found = materialized(dagster_instance, repair=False)
    (check,) = (e for e in found.get_asset_check_evaluations() if not e.passed)
    assert check.check_name == IN_ORDER
    findings = check.metadata["findings"]
    assert isinstance(findings, dg.TableMetadataValue)
    assert f"trigger {name}" in {record.data["where"] for record in findings.records}
    keys = defs.resolve_asset_graph().asset_check_keys
    assert [c.resource for c in failed_checks(dagster_instance, keys)] == [f"vantage/verification {IN_ORDER}"]
    embedded.execute(f'ALTER TABLE "{table}" ENABLE TRIGGER "{trigger}"')
    materialized(dagster_instance, repair=False)
    assert not list(failed_checks(dagster_instance, keys))


@pytest.mark.usefixtures("embedded")
def test_the_schedule_verifies_the_systems_that_are_set_up(sandbox: Sandbox, use_environment: Use) -> None:
    schedule = defs.resolve_schedule_def("weekly_verification")
    assert (schedule.cron_schedule, schedule.default_status) == ("0 3 * * 0", dg.DefaultScheduleStatus.RUNNING)
    context = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 3, 1, 3, tzinfo=UTC))
    assert not schedule.evaluate_tick(context).run_requests
    use_environment({k: v for k, v in sandbox.environment().items() if k.startswith("VANTAGE_")})
    (request,) = schedule.evaluate_tick(context).run_requests or ()
    assert request.asset_selection == [VANTAGE]


def test_no_other_job_verifies() -> None:
    for job in ("vantage_incremental", "vantage_full", "bubble_daily", "bubble_full", "sync_invoice"):
        keys = {key.path[-1] for key in defs.resolve_job_def(job).asset_layer.executable_asset_keys}
        assert "verification" not in keys
