"""Which days of Bubble are due: from the day of the oldest watermark to a given last day."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, timedelta

from vantage_pipeline.catalog.model import Resource
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse import engine, state


@dataclass(frozen=True, slots=True)
class DaysDue:
    """Consecutive days, both included."""

    first: date
    last: date

    def tags(self) -> dict[str, str]:
        """The run tags with which Dagster reads the days in one run."""
        return {
            "dagster/asset_partition_range_start": self.first.isoformat(),
            "dagster/asset_partition_range_end": self.last.isoformat(),
        }


def all_days(settings: Settings, *, last: date) -> DaysDue:
    """The days that a full reading marks as read. It covers every day, but Dagster takes some 30 ms to mark each."""
    first = max(settings.bubble_start_date, last - timedelta(days=settings.full_marks_days - 1))
    return DaysDue(min(first, last), last)


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be read so that nothing is missing: `days` of the resources by days, and all of those in `whole`."""

    days: DaysDue
    whole: tuple[Resource, ...] = ()


def days_due(settings: Settings, resources: Iterable[Resource], *, last: date) -> Due:
    """The days up to `last` that some of the partitioned `resources` still lack, and those that were never read whole.

    Days alone would not do for these. All are read whole when the first partition lies after `last`.
    """
    partitioned = tuple(resource for resource in resources if resource.partitioned)
    connection = engine.connect(engine.database_url(settings))
    try:
        known = {resource.state: state.watermark(connection, resource.state) for resource in partitioned}
    finally:
        connection.close()
    watermarks = [watermark for watermark in known.values() if watermark is not None]
    if not watermarks or last < settings.bubble_start_date:
        return Due(all_days(settings, last=last), partitioned)
    first = max(min(watermarks).astimezone(UTC).date(), settings.bubble_start_date)
    never = tuple(resource for resource in partitioned if known[resource.state] is None)
    return Due(DaysDue(min(first, last), last), never)
