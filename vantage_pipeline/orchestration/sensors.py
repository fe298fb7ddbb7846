"""Sensors that record what a run cannot say of itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from vantage_pipeline.catalog import RESOURCES
from vantage_pipeline.orchestration.alerts import failure_message, notify
from vantage_pipeline.orchestration.jobs import asset_key, op_name
from vantage_pipeline.settings import load_settings
from vantage_pipeline.warehouse import engine
from vantage_pipeline.warehouse.lost import close_dead, close_run


def _resources_of(run: dg.DagsterRun) -> list[str]:
    """State names of the resources that a run was to sync."""
    steps = set(run.step_keys_to_execute or ())
    chosen = run.asset_selection
    return [
        resource.state
        for resource in RESOURCES
        if (chosen is not None and asset_key(resource) in chosen) or op_name(resource) in steps
    ]


def _close(context: dg.RunStatusSensorContext, *, code: str, message: str, cancelled: bool) -> None:
    record = context.instance.get_run_record_by_id(context.dagster_run.run_id)
    created = record.create_timestamp if record else datetime.now(UTC)
    connection = engine.connect(engine.database_url(load_settings()))
    try:
        closed = close_run(
            connection,
            context.dagster_run.run_id,
            selected=_resources_of(context.dagster_run),
            created=created,
            code=code,
            message=message,
            cancelled=cancelled,
        )
    finally:
        connection.close()
    if closed:
        context.log.info(f"closed {', '.join(closed)}: {message}")


def build_sensors() -> Sequence[dg.SensorDefinition]:
    """The sensors, on by default."""
    running = dg.DefaultSensorStatus.RUNNING

    @dg.run_status_sensor(
        name="record_failed_runs",
        run_status=dg.DagsterRunStatus.FAILURE,
        default_status=running,
        minimum_interval_seconds=10,
        description="Records the failure of a run that was killed, or that failed before its first step.",
    )
    def record_failed_runs(context: dg.RunStatusSensorContext) -> None:
        _close(context, code="RUN_FAILED", message="the run failed or was killed; see it in the UI", cancelled=False)
        settings = load_settings()
        run = context.dagster_run
        trouble = notify(settings, *failure_message(settings, run.run_id, _resources_of(run)))
        if trouble:
            context.log.warning(f"the alert was not delivered: {trouble}")

    @dg.run_status_sensor(
        name="record_cancelled_runs",
        run_status=dg.DagsterRunStatus.CANCELED,
        default_status=running,
        minimum_interval_seconds=10,
        description="Records the cancelling of a run.",
    )
    def record_cancelled_runs(context: dg.RunStatusSensorContext) -> None:
        _close(context, code="CANCELLED", message="the run was cancelled", cancelled=True)

    @dg.sensor(
        name="close_lost_runs",
        default_status=running,
        minimum_interval_seconds=20,
        description="Closes syncs that say they are running while no process runs them.",
    )
    def close_lost_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        connection = engine.connect(engine.database_url(load_settings()))
        try:
            closed = close_dead(connection)
        finally:
            connection.close()
        if closed:
            context.log.info(f"closed {', '.join(closed)}: the process is gone")
        return dg.SkipReason(f"closed {', '.join(closed)}" if closed else "every running sync is alive")

    return [record_failed_runs, record_cancelled_runs, close_lost_runs]
