"""The days of the Bubble resources: UTC days of ``Modified Date``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

import dagster as dg

from vantage_pipeline.settings import load_settings


def daily_partitions() -> dg.DailyPartitionsDefinition:
    """One partition a day since the configured first day, today's included: it is filled again tomorrow."""
    return dg.DailyPartitionsDefinition(
        start_date=load_settings().bubble_start_date.isoformat(), timezone="UTC", end_offset=1
    )


def day_start(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)


def window_of(keys: Sequence[str]) -> tuple[datetime, datetime]:
    """``[from, to)`` of a run of consecutive days."""
    first, last = date.fromisoformat(min(keys)), date.fromisoformat(max(keys))
    return day_start(first), day_start(last + timedelta(days=1))
