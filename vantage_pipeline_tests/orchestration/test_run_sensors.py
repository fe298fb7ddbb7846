"""The sensors that record runs, on real runs of a real instance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import dagster as dg
import pytest

from vantage_pipeline.catalog import RESOURCES
from vantage_pipeline.definitions import defs
from vantage_pipeline.orchestration.reading import VantageReading
from vantage_pipeline.sandbox import Fault, Sandbox
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse import state
from vantage_pipeline.warehouse.state import Run
from vantage_pipeline_tests.database import Database

ACCOUNTS, FUNDS = dg.AssetKey(["vantage", "accounts"]), dg.AssetKey(["vantage", "funds"])
Event = dg.DagsterEventType
HISTORY = "SELECT resource, status, records_synced, records_created FROM vantage_sync_history ORDER BY id"
STATE = "SELECT last_sync_status, last_sync_time FROM vantage_sync_state WHERE resource = 'accounts'"


@pytest.fixture(autouse=True)
def on_the_sandbox(sandbox: Sandbox, use_environment: Callable[[Mapping[str, str]], Settings]) -> None:
    use_environment({**sandbox.environment(), "VANTAGE_PIPELINE_MAX_ATTEMPTS": "1"})


def execute(instance: dg.DagsterInstance, *assets: dg.AssetKey, **config: Any) -> dg.ExecuteInProcessResult:
    ops = {key.to_python_identifier(): {"config": config} for key in assets}
    return defs.resolve_job_def("vantage_incremental").execute_in_process(
        instance=instance, asset_selection=list(assets), raise_on_error=False, run_config={"ops": ops}
    )


def asked_for(instance: dg.DagsterInstance, *assets: dg.AssetKey) -> dg.DagsterRun:
    """A run that was asked for and has not begun."""
    job = defs.resolve_job_def("vantage_incremental").get_subset(asset_selection=set(assets))
    return instance.create_run_for_job(job, asset_selection=frozenset(assets))


def scheduled(instance: dg.DagsterInstance, job: str, config: Mapping[str, Any] | None = None) -> dg.DagsterRun:
    """A run as the scheduler creates it: of the whole job, without steps, a selection or the job's own options."""
    resolved = defs.resolve_job_def(job)
    return instance.create_run(
        job_name=job,
        run_id=None,
        run_config=config or {},
        status=dg.DagsterRunStatus.NOT_STARTED,
        tags={"dagster/schedule_name": "daily"},
        root_run_id=None,
        parent_run_id=None,
        step_keys_to_execute=None,
        execution_plan_snapshot=None,
        job_snapshot=resolved.get_job_snapshot(),
        parent_job_snapshot=None,
        asset_selection=None,
        asset_check_selection=None,
        resolved_op_selection=None,
        op_selection=None,
        remote_job_origin=None,
        job_code_origin=None,
        asset_graph=defs.resolve_asset_graph(),
    )


def evaluate(instance: dg.DagsterInstance, sensor: str, run_id: str, event: dg.DagsterEventType) -> None:
    """Evaluate the sensor twice on the run's event, as a daemon does that was killed before it wrote its cursor."""
    entry = list(instance.all_logs(run_id, of_type=event))[-1]
    run = instance.get_run_by_id(run_id)
    assert run is not None
    for _ in range(2):
        context = dg.build_run_status_sensor_context(sensor, entry.get_dagster_event(), instance, run)
        defs.resolve_sensor_def(sensor)(context)


def start(database: Database, run: str, resource: str) -> None:
    connection = database.connect()
    with connection.cursor() as cursor:
        state.announce(cursor, Run(run))
        state.start(cursor, resource)
    connection.commit()
    connection.close()


def test_a_success_that_recorded_itself_is_left_as_it_is(
    dagster_instance: dg.DagsterInstance, embedded: Database
) -> None:
    run_id = execute(dagster_instance, ACCOUNTS).run_id
    before = embedded.rows("SELECT * FROM vantage_sync_history"), embedded.rows(STATE)
    evaluate(dagster_instance, "record_succeeded_runs", run_id, Event.RUN_SUCCESS)
    assert (embedded.rows("SELECT * FROM vantage_sync_history"), embedded.rows(STATE)) == before
    assert embedded.rows(HISTORY) == [("accounts", "success", 60, 60)]


@pytest.mark.parametrize("left", ["running", "lost"])
def test_a_success_whose_row_is_open_is_closed_with_its_counts_and_without_a_watermark(
    dagster_instance: dg.DagsterInstance, embedded: Database, left: str
) -> None:
    run_id = execute(dagster_instance, ACCOUNTS).run_id
    status, errors = ("running", "[]") if left == "running" else ("failed", '[{"code": "RUN_LOST"}]')
    embedded.execute(
        "UPDATE vantage_sync_history SET status = %s, completed_at = NULL, errors = %s, records_synced = 0",
        (status, errors),
    )
    embedded.execute(
        "UPDATE vantage_sync_state SET last_sync_status = %s, completed_at = NULL, last_sync_time = NULL"
        " WHERE resource = 'accounts'",
        (status,),
    )
    evaluate(dagster_instance, "record_succeeded_runs", run_id, Event.RUN_SUCCESS)
    assert embedded.rows(HISTORY) == [("accounts", "success", 60, 60)]
    assert embedded.rows(STATE) == [("success", None)]


def test_a_success_without_a_result_for_a_resource_is_its_failure(
    dagster_instance: dg.DagsterInstance, embedded: Database
) -> None:
    run_id = execute(dagster_instance, ACCOUNTS).run_id
    start(embedded, run_id, "funds")
    evaluate(dagster_instance, "record_succeeded_runs", run_id, Event.RUN_SUCCESS)
    assert [row[:2] for row in embedded.rows(HISTORY)] == [("accounts", "success"), ("funds", "failed")]
    assert embedded.scalar("SELECT errors->0->>'code' FROM vantage_sync_state WHERE resource = 'funds'") == "NO_RESULT"


def test_a_run_that_failed_before_its_first_step(dagster_instance: dg.DagsterInstance, embedded: Database) -> None:
    run = asked_for(dagster_instance, ACCOUNTS, FUNDS)
    dagster_instance.report_run_failed(run)
    evaluate(dagster_instance, "record_failed_runs", run.run_id, Event.RUN_FAILURE)
    assert sorted(row[:2] for row in embedded.rows(HISTORY)) == [("accounts", "failed"), ("funds", "failed")]


@pytest.mark.parametrize(
    ("job", "config", "options"),
    [
        ("vantage_incremental", None, {}),
        ("vantage_full", None, {"mode": "full"}),
        ("bubble_daily", {"ops": {"bubble__invoice": {"config": {"mode": "FULL", "limit": 5}}}}, None),
    ],
)
def test_a_scheduled_run_that_failed_before_its_first_step(
    dagster_instance: dg.DagsterInstance,
    embedded: Database,
    job: str,
    config: dict[str, Any] | None,
    options: dict[str, Any] | None,
) -> None:
    run = scheduled(dagster_instance, job, config)
    dagster_instance.report_run_failed(run)
    evaluate(dagster_instance, "record_failed_runs", run.run_id, Event.RUN_FAILURE)
    system = job.partition("_")[0]
    of_the_job = sorted(resource.state for resource in RESOURCES if resource.system == system)
    told = embedded.rows("SELECT resource, status, triggered_by, options FROM vantage_sync_history")
    assert sorted(row[:3] for row in told) == [(name, "failed", "schedule daily") for name in of_the_job]
    for name, _, _, kept in told:
        given = {"mode": "full", "limit": 5} if name == "bubble_invoice" else {}
        assert kept == (given if options is None else options)
    assert embedded.scalar("SELECT count(*) FROM vantage_sync_state WHERE last_sync_status = 'failed'") == len(told)
    partial = embedded.rows("SELECT resource FROM vantage_sync_history WHERE partial")
    assert partial == ([("bubble_invoice",)] if config else [])


def test_a_dry_scheduled_run_and_a_run_of_no_sync_are_no_failures_of_syncs(
    dagster_instance: dg.DagsterInstance, embedded: Database
) -> None:
    dry = {"ops": {name: {"config": {"dry_run": True}} for name in ("bubble__invoice", "bubble__links")}}
    for run in (scheduled(dagster_instance, "sync_invoice", dry), scheduled(dagster_instance, "report")):
        dagster_instance.report_run_failed(run)
        evaluate(dagster_instance, "record_failed_runs", run.run_id, Event.RUN_FAILURE)
    assert embedded.rows(HISTORY) == []


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, dg.DagsterExecutionInterruptedError])
def test_an_interrupt_while_reading_is_a_cancel_and_no_failure(
    dagster_instance: dg.DagsterInstance,
    embedded: Database,
    monkeypatch: pytest.MonkeyPatch,
    interrupt: type[BaseException],
) -> None:
    def fill(_reading: VantageReading, _load: Any, _progress: Any) -> None:
        raise interrupt

    monkeypatch.setattr(VantageReading, "fill", fill)
    for _ in range(3):
        with suppress(KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
            execute(dagster_instance, ACCOUNTS)
    assert (
        embedded.rows("SELECT status, errors->0->>'code' FROM vantage_sync_history") == [("cancelled", "CANCELLED")] * 3
    )
    assert embedded.rows("SELECT condition FROM sync_conditions WHERE resource = 'accounts'") == [("cancelled",)]


def test_another_end_of_the_interpreter_is_a_failure(
    dagster_instance: dg.DagsterInstance, embedded: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(_reading: VantageReading, _load: Any, _progress: Any) -> None:
        raise SystemExit(1)

    monkeypatch.setattr(VantageReading, "fill", fill)
    with suppress(SystemExit):
        execute(dagster_instance, ACCOUNTS)
    assert embedded.rows("SELECT status, errors->0->>'code' FROM vantage_sync_history") == [("failed", "SystemExit")]


def test_a_late_word_of_a_failure_leaves_the_newer_success_alone(
    dagster_instance: dg.DagsterInstance, embedded: Database
) -> None:
    run = asked_for(dagster_instance, ACCOUNTS)
    dagster_instance.report_run_failed(run)
    execute(dagster_instance, ACCOUNTS)
    before = embedded.rows(STATE)
    evaluate(dagster_instance, "record_failed_runs", run.run_id, Event.RUN_FAILURE)
    assert embedded.rows(STATE) == before
    assert [row[1] for row in embedded.rows(HISTORY)] == ["success"]


def test_a_failure_that_recorded_itself_is_left_as_it_is(
    dagster_instance: dg.DagsterInstance, embedded: Database, sandbox: Sandbox
) -> None:
    sandbox.faults.add(Fault("500", match="/api/Accounts", times=50))
    run_id = execute(dagster_instance, ACCOUNTS).run_id
    evaluate(dagster_instance, "record_failed_runs", run_id, Event.RUN_FAILURE)
    assert embedded.rows("SELECT status, errors->0->>'code' FROM vantage_sync_history") == [
        ("failed", "API_UNREACHABLE")
    ]


def test_a_dry_run_that_failed_is_no_failure_of_the_sync(
    dagster_instance: dg.DagsterInstance, embedded: Database, sandbox: Sandbox
) -> None:
    sandbox.faults.add(Fault("500", match="/api/Accounts", times=50))
    result = execute(dagster_instance, ACCOUNTS, dry_run=True)
    assert not result.success
    evaluate(dagster_instance, "record_failed_runs", result.run_id, Event.RUN_FAILURE)
    assert embedded.rows(HISTORY) == []
    assert embedded.rows(STATE) == [("never_run", None)]


def test_a_cancelled_run(dagster_instance: dg.DagsterInstance, embedded: Database) -> None:
    run = asked_for(dagster_instance, ACCOUNTS)
    start(embedded, run.run_id, "accounts")
    dagster_instance.report_run_canceled(run)
    evaluate(dagster_instance, "record_cancelled_runs", run.run_id, Event.RUN_CANCELED)
    assert [row[:2] for row in embedded.rows(HISTORY)] == [("accounts", "cancelled")]
    assert embedded.rows(STATE) == [("failed", None)]


def test_a_run_that_begins_closes_the_dead_and_says_nothing_of_its_own_resources(
    dagster_instance: dg.DagsterInstance, embedded: Database
) -> None:
    start(embedded, "killed", "funds")
    run = asked_for(dagster_instance, ACCOUNTS)
    dagster_instance.report_dagster_event(
        dg.DagsterEvent(event_type_value=Event.RUN_START.value, job_name=run.job_name), run.run_id
    )
    evaluate(dagster_instance, "record_started_runs", run.run_id, Event.RUN_START)
    assert embedded.rows("SELECT run_id, resource, status FROM vantage_sync_history") == [("killed", "funds", "failed")]


def test_the_history_keeps_the_calls_by_status(dagster_instance: dg.DagsterInstance, embedded: Database) -> None:
    execute(dagster_instance, ACCOUNTS)
    assert embedded.rows("SELECT api_calls_by_status, api_calls FROM vantage_sync_history") == [({"200": 1}, 1)]


def test_the_history_keeps_which_attempt_it_was_and_what_was_asked_again_as_often_as_the_system_may(
    dagster_instance: dg.DagsterInstance,
    embedded: Database,
    sandbox: Sandbox,
    use_environment: Callable[[Mapping[str, str]], Settings],
) -> None:
    use_environment(
        {
            "VANTAGE_PIPELINE_MAX_ATTEMPTS_OF": '{"vantage": 3, "bubble": 1}',
            "VANTAGE_PIPELINE_BACKOFF_SECONDS_OF": '{"vantage": 0}',
        }
    )
    sandbox.faults.add(Fault("500", match="/api/Accounts", times=2))
    job = defs.resolve_job_def("vantage_incremental")
    job.execute_in_process(instance=dagster_instance, asset_selection=[ACCOUNTS], tags={"dagster/retry_number": "1"})
    execute(dagster_instance, ACCOUNTS)
    kept = "SELECT status, attempt, retries, partial FROM vantage_sync_history ORDER BY id"
    assert embedded.rows(kept) == [("success", 2, 2, False), ("success", 1, 0, False)]
