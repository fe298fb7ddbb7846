"""Runs what Dagster did not begin because a resource before it could not be read.

The order of the assets spares work, but no resource needs another's success: a type that the app hides must not keep
the others from being synced. The command line does the same by itself.
"""

from __future__ import annotations

from typing import Any

import dagster as dg

from vantage_pipeline.catalog import RESOURCES
from vantage_pipeline.errors import (
    SourceNotFound,
    SourceProtocolError,
    SourceRefused,
    SourceUnreachable,
    TooManyRejections,
)
from vantage_pipeline.orchestration.jobs import INCREMENTAL, asset_key, default_config, op_name, run_config
from vantage_pipeline.orchestration.run_records import resources_of

_OF_ONE_RESOURCE = {
    kind.__name__ for kind in (SourceNotFound, SourceProtocolError, SourceRefused, SourceUnreachable, TooManyRejections)
}
"""Errors that say nothing of the other resources. A database that is away would stop them, too."""
_RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end", "dagster/partition")


def requests_after(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[dg.RunRequest]:
    """Runs of what the failed run did not begin, one a system, with its options and days; none where it is no use."""
    failures = [event.step_failure_data.error for event in _events(instance, run, dg.DagsterEventType.STEP_FAILURE)]
    if not failures or not all(map(_of_one_resource, failures)):
        return []
    begun = {event.step_key for event in _events(instance, run, dg.DagsterEventType.STEP_START)}
    chosen = set(resources_of(run))
    given: Any = run.run_config or run_config(RESOURCES, default_config(run.job_name))
    options = given.get("ops", {})
    asked = []
    for system, job in INCREMENTAL.items():
        left = [r for r in RESOURCES if r.system == system and r.state in chosen and op_name(r) not in begun]
        if left:
            asked.append(
                dg.RunRequest(
                    run_key=f"skipped in {run.run_id}: {system}",
                    job_name=job.name,
                    asset_selection=[asset_key(resource) for resource in left],
                    run_config={"ops": {op_name(r): options[op_name(r)] for r in left if op_name(r) in options}},
                    tags={name: run.tags[name] for name in _RANGE if name in run.tags},
                )
            )
    return asked


def build_resume_skipped() -> dg.SensorDefinition:
    """The sensor that asks for the runs."""

    @dg.run_failure_sensor(
        name="resume_skipped",
        request_jobs=list(INCREMENTAL.values()),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
        description="Runs what was not begun because a resource before it could not be read.",
    )
    def resume_skipped(context: dg.RunFailureSensorContext) -> list[dg.RunRequest] | dg.SkipReason:
        asked = requests_after(context.instance, context.dagster_run)
        return asked or dg.SkipReason("nothing was skipped that can be read")

    return resume_skipped


def _events(instance: dg.DagsterInstance, run: dg.DagsterRun, kind: dg.DagsterEventType) -> list[Any]:
    return [entry.get_dagster_event() for entry in instance.all_logs(run.run_id, of_type=kind)]


def _of_one_resource(error: Any) -> bool:
    while error is not None:
        if error.cls_name in _OF_ONE_RESOURCE:
            return True
        error = error.cause or error.context
    return False
