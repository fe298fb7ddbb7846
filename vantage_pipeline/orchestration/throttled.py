"""Takes up again what an API put off for longer than a sync waits: once, when the time that it asked for is over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from psycopg2.extensions import connection as Connection

from vantage_pipeline.catalog import by_state
from vantage_pipeline.catalog.model import Resource
from vantage_pipeline.errors import SourceThrottled
from vantage_pipeline.orchestration.catchup import days_due
from vantage_pipeline.orchestration.config import Mode, SyncConfig
from vantage_pipeline.orchestration.jobs import INCREMENTAL, asset_key, run_config
from vantage_pipeline.settings import Settings, load_settings
from vantage_pipeline.warehouse import engine

_LAST_RUNS = """
SELECT resource, run_id, errors->0->>'retry_at' FROM (
    SELECT DISTINCT ON (resource) resource, run_id, status, errors FROM vantage_sync_history
    WHERE started_at > now() - interval '7 days'
      AND (NOT partial OR errors->0->>'code' = %(code)s)
      AND errors->0->>'code' IS DISTINCT FROM 'SYNC_ALREADY_RUNNING'
    ORDER BY resource, started_at DESC, id DESC
) last
WHERE status = 'failed' AND errors->0->>'code' = %(code)s AND (errors->0->>'retry_at')::timestamptz <= %(now)s
ORDER BY resource
"""
"""A partial run since then, such as that of one invoice, has not read what was put off."""


@dataclass(frozen=True, slots=True)
class PutOff:
    """A resource whose last run was put off, and whose time has come."""

    resource: Resource
    run_id: str


def put_off(connection: Connection, now: datetime) -> list[PutOff]:
    """The resources that were told to wait until `now` or earlier, and have not been synced since."""
    with connection.cursor() as cursor:
        cursor.execute(_LAST_RUNS, {"code": SourceThrottled.code, "now": now})
        found = [PutOff(by_state(state), run_id) for state, run_id, _ in cursor.fetchall()]
    connection.rollback()
    return found


def requests_for(settings: Settings, due: Sequence[PutOff], now: datetime) -> Iterator[dg.RunRequest]:
    """One run a system. Its key is that of the runs that were put off, so that each is taken up once."""
    for system in ("vantage", "bubble"):
        chosen = [item for item in due if item.resource.system == system]
        if not chosen or system not in settings.configured_systems:
            continue
        resources = [item.resource for item in chosen]
        options, tags = dict[str, Any](), dict[str, str]()
        if any(resource.partitioned for resource in resources):
            today = now.astimezone(UTC).date()
            due_days = days_due(settings, resources, last=today)
            options, tags = dict(run_config(due_days.whole, SyncConfig(mode=Mode.FULL))), due_days.days.tags()
        yield dg.RunRequest(
            run_key="put off: " + ", ".join(sorted({item.run_id for item in chosen})),
            job_name=INCREMENTAL[system].name,
            asset_selection=[asset_key(resource) for resource in resources],
            run_config=options,
            tags=tags,
        )


def build_resume_throttled() -> dg.SensorDefinition:
    """The sensor that asks for the runs."""

    @dg.sensor(
        name="resume_throttled",
        jobs=list(INCREMENTAL.values()),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=60,
        description="Runs again what an API put off for longer than a sync waits, once that time is over.",
    )
    def resume_throttled(_context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        settings, now = load_settings(), datetime.now(UTC)
        connection = engine.connect(engine.database_url(settings))
        try:
            due = put_off(connection, now)
        finally:
            connection.close()
        asked = list(requests_for(settings, due, now))
        return dg.SensorResult(run_requests=asked) if asked else dg.SkipReason("nothing that was put off is due")

    return resume_throttled
