"""Runs assets in this process, on the same Dagster instance that the UI shows."""

from __future__ import annotations

import getpass
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import typer

from vantage_pipeline import catalog
from vantage_pipeline.catalog.model import Resource
from vantage_pipeline.cli.progress import live_progress
from vantage_pipeline.errors import PipelineError, SettingsError
from vantage_pipeline.orchestration.config import Mode, SyncConfig
from vantage_pipeline.orchestration.io_manager import TRIGGER_TAG, WarehouseIOManager
from vantage_pipeline.orchestration.jobs import asset_key, op_name, run_config
from vantage_pipeline.settings import Settings, project_root
from vantage_pipeline.warehouse import engine, migrations

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class Done:
    """What became of one resource."""

    resource: str
    status: str
    metadata: dict[str, Any] = field(default_factory=dict)
    checks_failed: list[str] = field(default_factory=list)
    checks: int = 0
    error: str = ""


def prepare(settings: Settings, resources: Sequence[Resource]) -> None:
    """Fail before anything begins where something is missing: settings, database, migrations."""
    for system in sorted({resource.system for resource in resources}):
        settings.require(system)
    migrations.check(engine.database_url(settings))


def configured(settings: Settings, names: Sequence[str]) -> tuple[Resource, ...]:
    """The named resources; for no name, those of the systems that are set up."""
    chosen = catalog.select(names)
    if names:
        return chosen
    systems = settings.configured_systems
    if not systems:
        raise SettingsError(
            "no API is set: put VANTAGE_API_BASE_URL or BUBBLE_API_BASE_URL (and their credentials) in the "
            "environment or in .env, or try the sandbox: vantage-pipeline demo"
        )
    return tuple(resource for resource in chosen if resource.system in systems)


def run(
    settings: Settings,
    resources: Sequence[Resource],
    config: SyncConfig,
    *,
    tags: Mapping[str, str] | None = None,
    whole: Collection[Resource] = (),
    warehouse: WarehouseIOManager | None = None,
) -> list[Done]:
    """Materialize the resources' assets in load order.

    What Dagster skips because something before it failed is run after all: order spares work, but no resource
    needs another's success. Resources in `whole` are read whole whatever `config` says. Dry runs with the same
    `warehouse` see each other; without it, those of this call do.

    Raises:
        KeyboardInterrupt: the run was interrupted; what comes after it is not begun.
    """
    if warehouse is None:
        with closing(WarehouseIOManager()) as own:
            return run(settings, resources, config, tags=tags, whole=whole, warehouse=own)
    os.environ.setdefault("DAGSTER_HOME", str(project_root()))
    prepare(settings, resources)
    from vantage_pipeline.definitions import defs

    done: dict[str, Done] = {}
    left = list(resources)
    with dg.DagsterInstance.get() as instance:
        # without the checks "healthy": they belong to no sync, and the daemon's sensor reports them
        syncs = dg.Definitions(assets=defs.assets, resources={"warehouse": warehouse}, executor=defs.executor)
        job = syncs.resolve_implicit_global_asset_job_def()
        while left:
            with live_progress():
                result = job.execute_in_process(
                    instance=instance,
                    asset_selection=[asset_key(resource) for resource in left],
                    run_config={**_configured(left, config, whole), **_QUIET},
                    tags={TRIGGER_TAG: f"command line: {user()}", **(tags or {})},
                    raise_on_error=False,
                )
            if _interrupted(result):
                typer.echo("interrupted: the next sync reads what this one did not", err=True)
                raise KeyboardInterrupt
            for resource in left:
                outcome = _outcome(resource, result)
                if outcome is not None:
                    done[resource.state] = outcome
            if not any(resource.state in done for resource in left):
                raise PipelineError("Dagster ran none of the assets; see the run in the UI")
            left = [resource for resource in left if resource.state not in done]
    return [done[resource.state] for resource in resources]


def _interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Whether the run was ended by Ctrl-C, which Dagster takes for the failure of a step."""
    name = dg.DagsterExecutionInterruptedError.__name__
    failures = (event.step_failure_data.error for event in result.all_events if event.is_step_failure)
    return any(error is not None and error.cls_name == name for error in failures)


def _configured(resources: Sequence[Resource], config: SyncConfig, whole: Collection[Resource]) -> dict[str, Any]:
    full = config.model_copy(update={"mode": Mode.FULL})
    ops: dict[str, Any] = {}
    for resource in resources:
        ops.update(run_config([resource], full if resource in whole else config)["ops"])
    return {"ops": ops}


def user() -> str:
    """Who runs this process, for the history."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _outcome(resource: Resource, result: dg.ExecuteInProcessResult) -> Done | None:
    step = op_name(resource)
    done: Done | None = None
    failed: list[str] = []
    checks = 0
    for event in result.events_for_node(step):
        if event.is_step_failure:
            return Done(resource.asset, "failed", error=_message(event.step_failure_data.error))
        told = _told(event)
        if told is not None and done is None:
            done = Done(resource.asset, "ok", metadata={name: _plain(value) for name, value in told.items()})
        if event.event_type_value == "ASSET_CHECK_EVALUATION":
            evaluation = event.asset_check_evaluation_data
            checks += 1
            if not evaluation.passed:
                failed.append(evaluation.check_name)
    if done is not None:
        done.checks, done.checks_failed = checks, failed
    return done


def _told(event: dg.DagsterEvent) -> Mapping[str, Any] | None:
    """What a sync's materialization or a dry run's observation says; None for other events."""
    if event.event_type is dg.DagsterEventType.ASSET_MATERIALIZATION:
        return event.step_materialization_data.materialization.metadata
    if event.event_type is dg.DagsterEventType.ASSET_OBSERVATION:
        return event.asset_observation_data.asset_observation.metadata
    return None


def _message(error: Any) -> str:
    """The first of our own errors in the chain, else the root cause."""
    chain = []
    while error is not None:
        chain.append(error)
        error = error.cause or error.context
    known = _error_names(PipelineError)
    chosen = next((e for e in chain if e.cls_name in known), chain[-1])
    text = str(chosen.message).strip()
    for prefix in (f"vantage_pipeline.errors.{chosen.cls_name}: ", f"{chosen.cls_name}: "):
        text = text.removeprefix(prefix)
    return text if chosen.cls_name in known else f"{chosen.cls_name}: {text}"


def _error_names(kind: type) -> set[str]:
    names = {kind.__name__}
    below: type
    for below in kind.__subclasses__():
        names |= _error_names(below)
    return names


def _plain(value: Any) -> Any:
    if isinstance(value, dg.TableMetadataValue):
        return [dict(record.data) for record in value.records]
    return value.value
