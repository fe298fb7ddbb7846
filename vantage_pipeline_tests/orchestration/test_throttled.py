"""A sync that an API put off for an hour is run again when the hour is over, once, without anybody's doing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from vantage_pipeline.definitions import defs
from vantage_pipeline.orchestration.throttled import put_off, requests_for
from vantage_pipeline.sandbox import Fault, Sandbox
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse import state
from vantage_pipeline.warehouse.state import Run
from vantage_pipeline_tests.database import Database


def run(instance: dg.DagsterInstance, request: dg.RunRequest | None = None) -> dg.ExecuteInProcessResult:
    job = defs.resolve_job_def("vantage_incremental")
    keys = list(request.asset_selection or ()) if request else [dg.AssetKey(["vantage", "funds"])]
    return job.execute_in_process(
        instance=instance,
        asset_selection=keys,
        run_config=dict(request.run_config) if request else None,
        raise_on_error=False,
    )


def test_what_was_put_off_is_taken_up_once(
    embedded: Database,
    dagster_instance: dg.DagsterInstance,
    sandbox: Sandbox,
    use_environment: Callable[[Mapping[str, str]], Settings],
) -> None:
    settings = use_environment({**sandbox.environment(), "VANTAGE_PIPELINE_SANDBOX": "1"})
    sandbox.faults.add(Fault("429_hour", "/api/Funds"))
    first = run(dagster_instance)
    assert not first.success
    told = embedded.scalar("SELECT errors->0->>'retry_at' FROM vantage_sync_state WHERE resource = 'funds'")
    assert datetime.fromisoformat(told) > datetime.now(UTC) + timedelta(minutes=55)

    connection = embedded.connect()
    now, later = datetime.now(UTC), datetime.now(UTC) + timedelta(minutes=61)
    assert put_off(connection, now) == []
    with connection.cursor() as cursor:
        state.announce(cursor, Run("turned away meanwhile"))
        state.fail(cursor, "funds", [{"code": "SYNC_ALREADY_RUNNING"}])
    connection.commit()
    (request,) = requests_for(settings, put_off(connection, later), later)
    assert request.run_key == f"put off: {first.run_id}"
    assert request.asset_selection == [dg.AssetKey(["vantage", "funds"])]
    assert run(dagster_instance, request).success
    assert put_off(connection, later) == []
    connection.close()
    assert embedded.scalar("SELECT count(*) FROM deals") == len(sandbox.vantage.records["funds"])


@pytest.mark.usefixtures("embedded")
def test_the_sensor_skips_where_nothing_waits(
    sandbox: Sandbox, use_environment: Callable[[Mapping[str, str]], Settings], dagster_instance: dg.DagsterInstance
) -> None:
    use_environment({**sandbox.environment(), "VANTAGE_PIPELINE_SANDBOX": "1"})
    sensor = defs.resolve_sensor_def("resume_throttled")
    told = sensor.evaluate_tick(dg.build_sensor_context(instance=dagster_instance))
    assert told.skip_message == "nothing that was put off is due"
