"""Sensors: what a run cannot say of itself, what is wrong, and the report after each daily run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import dagster as dg
from psycopg2.extensions import connection as Connection

from vantage_pipeline.orchestration import run_records
from vantage_pipeline.orchestration.skipped import build_resume_skipped
from vantage_pipeline.orchestration.throttled import build_resume_throttled
from vantage_pipeline.orchestration.watching import build_watch_health
from vantage_pipeline.settings import load_settings
from vantage_pipeline.warehouse import engine
from vantage_pipeline.warehouse.lost import close_dead

_Record = Callable[[Connection, dg.DagsterInstance, dg.DagsterRun], list[str]]
_RUNNING = dg.DefaultSensorStatus.RUNNING


@dataclass(frozen=True, slots=True)
class _Recorder:
    """What is recorded when a run reaches a status."""

    name: str
    status: dg.DagsterRunStatus
    record: _Record
    description: str


_RECORDERS = (
    _Recorder(
        "record_started_runs",
        dg.DagsterRunStatus.STARTED,
        run_records.record_started,
        "When a run begins: closes syncs that say they are running while no process runs them.",
    ),
    _Recorder(
        "record_succeeded_runs",
        dg.DagsterRunStatus.SUCCESS,
        run_records.record_succeeded,
        "Closes what a run left open although it ended well.",
    ),
    _Recorder(
        "record_failed_runs",
        dg.DagsterRunStatus.FAILURE,
        run_records.record_failed,
        "Records the failure of a run that was killed, or that failed before its first step.",
    ),
    _Recorder(
        "record_cancelled_runs",
        dg.DagsterRunStatus.CANCELED,
        run_records.record_cancelled,
        "Records the cancelling of a run.",
    ),
)


def build_sensors() -> list[dg.SensorDefinition]:
    """The sensors, on by default."""
    return [
        *(_build(recorder) for recorder in _RECORDERS),
        _build_close_lost_runs(),
        build_resume_throttled(),
        build_resume_skipped(),
        build_watch_health(),
    ]


def _build(recorder: _Recorder) -> dg.SensorDefinition:
    @dg.run_status_sensor(
        name=recorder.name,
        run_status=recorder.status,
        default_status=_RUNNING,
        minimum_interval_seconds=10,
        description=recorder.description,
    )
    def record(context: dg.RunStatusSensorContext) -> None:
        connection = engine.connect(engine.database_url(load_settings()))
        try:
            closed = recorder.record(connection, context.instance, context.dagster_run)
        finally:
            connection.close()
        if closed:
            context.log.info(f"closed {', '.join(closed)}")

    return record


def _build_close_lost_runs() -> dg.SensorDefinition:
    @dg.sensor(
        name="close_lost_runs",
        default_status=_RUNNING,
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

    return close_lost_runs
