"""The daily and weekly schedules. They are on by default: the daemon runs them as soon as it is up."""

from __future__ import annotations

from datetime import UTC, timedelta

import dagster as dg

from vantage_pipeline.catalog import BUBBLE_RESOURCES
from vantage_pipeline.orchestration.catchup import all_days, days_due
from vantage_pipeline.orchestration.config import Mode, SyncConfig
from vantage_pipeline.orchestration.jobs import (
    BUBBLE_DAILY,
    FULL,
    VANTAGE_INCREMENTAL,
    VERIFICATION,
    run_config,
    verification_key,
)
from vantage_pipeline.settings import load_settings


def build_schedules() -> list[dg.ScheduleDefinition]:
    """A daily and a weekly full sync for each system and a weekly verification of both, at configured times in UTC."""
    cron, weekly = load_settings().schedule_cron, load_settings().verify_cron

    @dg.schedule(
        name="vantage_daily",
        job=VANTAGE_INCREMENTAL,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="What changed in Vantage since each watermark, in dependency order.",
    )
    def vantage_daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        settings = load_settings()
        if "vantage" not in settings.configured_systems:
            return dg.SkipReason("VANTAGE_API_BASE_URL is not set")
        return dg.RunRequest(run_key=context.scheduled_execution_time.isoformat())

    @dg.schedule(
        name="bubble_daily",
        job=BUBBLE_DAILY,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="The day just ended, and days that were missed before it, in one run.",
    )
    def bubble_daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        settings = load_settings()
        if "bubble" not in settings.configured_systems:
            return dg.SkipReason("BUBBLE_API_BASE_URL is not set")
        yesterday = (context.scheduled_execution_time.astimezone(UTC) - timedelta(days=1)).date()
        # where the database does not answer the tick fails: it is tried again, which one that is skipped is not
        due = days_due(settings, BUBBLE_RESOURCES, last=yesterday)
        run_key = context.scheduled_execution_time.isoformat()
        whole = run_config(due.whole, SyncConfig(mode=Mode.FULL))
        return dg.RunRequest(run_key=run_key, run_config=dict(whole), tags=due.days.tags())

    @dg.schedule(
        name="weekly_verification",
        job=VERIFICATION,
        cron_schedule=weekly,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Everything in the systems that are set up against the tables, both ways.",
    )
    def weekly_verification(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        systems = load_settings().configured_systems
        if not systems:
            return dg.SkipReason("neither VANTAGE_API_BASE_URL nor BUBBLE_API_BASE_URL is set")
        return dg.RunRequest(
            run_key=context.scheduled_execution_time.isoformat(),
            asset_selection=[verification_key(system) for system in systems],
        )

    return [vantage_daily, bubble_daily, *map(_weekly_full, FULL), weekly_verification]


def _weekly_full(system: str) -> dg.ScheduleDefinition:
    """Everything of a system: what is gone from the source is seen by a complete reading alone."""

    @dg.schedule(
        name=f"{system}_weekly_full",
        job=FULL[system],
        cron_schedule=load_settings().full_cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Everything in the system, to mark what is no longer there.",
    )
    def weekly_full(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        settings = load_settings()
        if system not in settings.configured_systems:
            return dg.SkipReason(f"{system.upper()}_API_BASE_URL is not set")
        today = context.scheduled_execution_time.astimezone(UTC).date()
        tags = all_days(settings, last=today).tags() if system == "bubble" else {}
        return dg.RunRequest(run_key=context.scheduled_execution_time.isoformat(), tags=tags)

    return weekly_full
