"""What Dagster knows of a run, brought to the state and the history: for runs that cannot speak for themselves.

Everything goes through the functions that the runs use, so that saying it twice, or late, changes nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import dagster as dg
from psycopg2.extensions import connection as Connection

from vantage_pipeline.catalog import RESOURCES
from vantage_pipeline.catalog.model import Resource
from vantage_pipeline.orchestration import jobs
from vantage_pipeline.orchestration.config import SyncConfig
from vantage_pipeline.orchestration.io_manager import attempt_of, trigger_of
from vantage_pipeline.orchestration.jobs import asset_key, op_name
from vantage_pipeline.warehouse.lost import Ended, close_dead, close_run, settle_run
from vantage_pipeline.warehouse.state import Run


def record_started(connection: Connection, _instance: dg.DagsterInstance, _run: dg.DagsterRun) -> list[str]:
    """Close what died before this run began, so that nothing it is about to sync says it runs elsewhere.

    Nothing is said of the run's own resources: each speaks for itself when it takes its lock.
    """
    return close_dead(connection)


def record_succeeded(connection: Connection, instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[str]:
    """Close the rows that a run left open although it ended well, with the counts of its materializations."""
    return settle_run(connection, run.run_id, _ended(instance, run))


def record_failed(connection: Connection, instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[str]:
    """Close what a run left open that was killed, or that failed before its first step."""
    return close_run(
        connection,
        run.run_id,
        selected=resources_of(run),
        known=_known(run),
        created=_created(instance, run),
        code="RUN_FAILED",
        message="the run failed or was killed; see it in the UI",
    )


def record_cancelled(connection: Connection, instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[str]:
    """Close what a cancelled run left open."""
    return close_run(
        connection,
        run.run_id,
        selected=resources_of(run),
        known=_known(run),
        created=_created(instance, run),
        code="CANCELLED",
        message="the run was cancelled",
        cancelled=True,
    )


def resources_of(run: dg.DagsterRun) -> list[str]:
    """State names of the resources that a run was to sync: without a selection, all of its job; for a dry run, none."""
    return [resource.state for resource in _selected(run) if not _options(run, resource).get("dry_run")]


def _selected(run: dg.DagsterRun) -> list[Resource]:
    if run.step_keys_to_execute is None and run.asset_selection is None:
        return list(jobs.resources_of(run.job_name))
    steps, chosen = run.step_keys_to_execute or (), run.asset_selection or ()
    return [resource for resource in RESOURCES if op_name(resource) in steps or asset_key(resource) in chosen]


def _known(run: dg.DagsterRun) -> dict[str, Run]:
    """The run as its syncs would have told of it, by state name: who asked for it, and with which options."""
    who = trigger_of(run.tags)
    found = {}
    for resource in _selected(run):
        config = _config(run, resource)
        options = config.given() if config else _options(run, resource)
        found[resource.state] = Run(
            run.run_id,
            triggered_by=who,
            options=options,
            partial=config is not None and config.partial,
            attempt=attempt_of(run.tags),
        )
    return found


def _config(run: dg.DagsterRun, resource: Resource) -> SyncConfig | None:
    """None where the run failed for options that are none."""
    if not run.run_config:
        return jobs.default_config(run.job_name)
    try:
        return SyncConfig(**_options(run, resource))
    except ValueError:
        return None


def _options(run: dg.DagsterRun, resource: Resource) -> dict[str, Any]:
    config: Any = run.run_config
    for name in ("ops", op_name(resource), "config"):
        config = config.get(name) if isinstance(config, dict) else None
    return config if isinstance(config, dict) else {}


def _created(instance: dg.DagsterInstance, run: dg.DagsterRun) -> datetime:
    record = instance.get_run_record_by_id(run.run_id)
    return record.create_timestamp if record else datetime.now(UTC)


def _ended(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dict[str, Ended]:
    """What each resource's materialization says it did, by state name."""
    states = {asset_key(resource): resource.state for resource in RESOURCES}
    found: dict[str, Ended] = {}
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
        event = entry.get_dagster_event()
        if event.asset_key in states:
            counts = event.step_materialization_data.materialization.metadata
            found[states[event.asset_key]] = Ended(*(_count(counts, n) for n in ("fetched", "created", "updated")))
    return found


def _count(counts: Any, name: str) -> int:
    value = counts.get(name)
    return value.value if isinstance(value, dg.IntMetadataValue) and value.value is not None else 0
