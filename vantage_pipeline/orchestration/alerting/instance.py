"""What Dagster's own records say is wrong: failed checks, stopped or failing sensors and schedules, silent daemons."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, TickStatus
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from vantage_pipeline.warehouse.conditions import Condition

_DAEMON_SILENT = timedelta(minutes=5)
_ENDED_TICKS = [TickStatus.SUCCESS, TickStatus.SKIPPED, TickStatus.FAILURE]
_AUTOMATION = "/automation"


def failed_checks(instance: dg.DagsterInstance, checks: Collection[dg.AssetCheckKey]) -> Iterator[Condition]:
    """The checks whose last evaluation failed."""
    found = instance.event_log_storage.get_asset_check_summary_records(sorted(checks, key=str)) if checks else {}
    for key, summary in found.items():
        last = summary.last_completed_check_execution_record
        if last is not None and last.status is AssetCheckExecutionRecordStatus.FAILED:
            asset = key.asset_key.to_user_string()
            yield Condition(
                kind="check_failed",
                resource=f"{asset} {key.name}",
                what=f"the check {key.name} of {asset} failed",
                since=datetime.fromtimestamp(last.create_timestamp, UTC),
                link=f"/assets/{asset}?view=checks",
            )


def failed_job(instance: dg.DagsterInstance, job: str) -> Iterator[Condition]:
    """The job whose run belongs to no resource, where the last of its runs that ended failed."""
    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
    for run in instance.get_run_records(dg.RunsFilter(job_name=job, statuses=ended), limit=1):
        if run.dagster_run.status is dg.DagsterRunStatus.FAILURE:
            yield Condition(
                kind=f"{job}_failed",
                resource=f"operations/{job}",
                what="its last run failed",
                severity="yellow",
                since=run.create_timestamp,
                link=f"/runs/{run.dagster_run.run_id}",
            )


def instigators(instance: dg.DagsterInstance, names: Collection[str]) -> Iterator[Condition]:
    """The sensors and schedules of these names that someone stopped, or that keep failing."""
    for state in instance.all_instigator_state():
        if state.instigator_name not in names:
            continue
        kind = state.instigator_type.value.lower()
        if state.status is InstigatorStatus.STOPPED:
            yield Condition(
                kind="stopped",
                resource=state.instigator_name,
                what=f"the {kind} has been stopped",
                link=_AUTOMATION,
            )
        elif (errors := _failing(instance, state, ticks=1 if kind == "schedule" else 2)) is not None:
            yield Condition(
                kind="ticks_failing",
                resource=state.instigator_name,
                what=f"the {kind} fails",
                link=_AUTOMATION,
                errors=({"code": "TICK_FAILED", "message": errors},),
            )


def silent_daemons(instance: dg.DagsterInstance, now: datetime) -> Iterator[Condition]:
    """The daemons that have given no sign of life for five minutes, but once had."""
    required = set(instance.get_required_daemon_types())
    for kind, beat in sorted(instance.get_daemon_heartbeats().items()):
        last = datetime.fromtimestamp(beat.timestamp, UTC)
        if kind in required and now - last > _DAEMON_SILENT:
            yield Condition(
                kind="daemon_silent",
                resource=kind.lower(),
                what="Dagster's daemon gives no sign of life",
                since=last,
                link="/deployment/daemons",
            )


def _failing(instance: dg.DagsterInstance, state: InstigatorState, *, ticks: int) -> str | None:
    """What the last ticks ended with, where so many in a row failed: a sensor may fail once."""
    last = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=ticks, statuses=_ENDED_TICKS)
    if len(last) < ticks or any(tick.status is not TickStatus.FAILURE for tick in last):
        return None
    error = last[0].error
    return " ".join(error.message.split())[:500] if error else "no reason was recorded"
