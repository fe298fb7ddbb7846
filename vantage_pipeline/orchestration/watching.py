"""The sensor that looks for what is wrong every half minute, tells people, and reports each asset's health."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg

from vantage_pipeline.catalog import RESOURCES
from vantage_pipeline.orchestration import health
from vantage_pipeline.orchestration.alerting import instance as records
from vantage_pipeline.orchestration.alerting.watch import Watched, watch, watched_states
from vantage_pipeline.orchestration.jobs import VERIFICATION, health_check
from vantage_pipeline.orchestration.report.asset import REPORT
from vantage_pipeline.settings import load_settings
from vantage_pipeline.warehouse import engine
from vantage_pipeline.warehouse.conditions import Condition

NAME = "watch_health"
_SECONDS = 30
_AWAY = timedelta(minutes=2)
_SETTLED = timedelta(minutes=6)


@dataclass
class _Memory:
    """What one tick leaves to the next."""

    looked: float = 0
    up_since: float = 0
    told: dict[str, str] = field(default_factory=dict)


def build_watch_health() -> dg.SensorDefinition:
    """The sensor, on by default."""

    @dg.sensor(
        name=NAME,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=_SECONDS,
        description="Tells people by ALERT_URLS what goes wrong and what is right again, once each, "
        "and reports the check 'healthy' of each asset when it changes.",
    )
    def watch_health(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        settings = load_settings()
        memory = _Memory(**json.loads(context.cursor)) if context.cursor else _Memory()
        now = datetime.now(UTC)
        if now.timestamp() - memory.looked > _AWAY.total_seconds():
            memory.up_since = now.timestamp()
        memory.looked = now.timestamp()
        # after a pause of the whole daemon the others need a while until they give a sign of life again
        settled = now.timestamp() - memory.up_since > _SETTLED.total_seconds()
        found = _of_instance(context, now if settled else None)
        connection = engine.connect(engine.database_url(settings))
        try:
            watched = watch(settings, connection, found)
        finally:
            connection.close()
        if watched is None:
            return dg.SensorResult(skip_reason="another watcher is at it")
        for channel in watched.failing:
            context.log.warning(f"the alert channel {channel} does not take messages; they are tried again")
        events = health.evaluations(watched.conditions, watched_states(settings), told=memory.told)
        return dg.SensorResult(
            skip_reason=_summary(watched), cursor=json.dumps(asdict(memory)), asset_events=list(events)
        )

    return watch_health


def _of_instance(context: dg.SensorEvaluationContext, daemons_at: datetime | None) -> list[Condition]:
    """What Dagster's records say; of the daemons only where a time is given."""
    instance, repository = context.instance, context.repository_def
    found: list[Condition] = [
        condition for job in (REPORT, VERIFICATION) for condition in records.failed_job(instance, job.name)
    ]
    if repository is not None:
        # what these say is among the conditions already
        checks = repository.asset_graph.asset_check_keys - {health_check(resource) for resource in RESOURCES}
        found.extend(records.failed_checks(instance, checks))
        sensors = {sensor.name for sensor in repository.sensor_defs}
        schedules = {schedule.name for schedule in repository.schedule_defs}
        found.extend(records.instigators(instance, sensors | schedules))
    if daemons_at is not None:
        found.extend(records.silent_daemons(instance, daemons_at))
    return found


def _summary(watched: Watched) -> str:
    return (
        f"{len(watched.conditions)} conditions hold, {watched.began} began, {watched.ended} ended, "
        f"{watched.delivered} messages delivered"
    )
