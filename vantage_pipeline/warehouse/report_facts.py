"""What the report shows, read from the state, the history and what syncs keep beside the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline.warehouse import alerts, conditions
from vantage_pipeline.warehouse.alerts import Alert, FailingChannel
from vantage_pipeline.warehouse.conditions import Condition

_EXAMPLES = 50


@dataclass(frozen=True, slots=True)
class PastRun:
    """One sync of a resource that has ended. Times are in UTC, the duration in seconds."""

    run_id: str
    began: datetime
    ended: datetime
    status: str
    seconds: float
    created: int
    updated: int
    deleted: int
    errors: int
    first_error: str


@dataclass(frozen=True, slots=True)
class ResourceFacts:
    """A resource's health and its runs, the oldest first."""

    resource: str
    colour: str
    status: str
    watermark: datetime | None
    conditions: tuple[str, ...]
    expected_every: timedelta
    synced: int
    quarantined: int
    pending_links: int
    runs: tuple[PastRun, ...] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """A table of the report."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """Everything that the report shows."""

    at: datetime
    days: int
    resources: tuple[ResourceFacts, ...]
    conditions: tuple[Condition, ...]
    alerts: tuple[Alert, ...]
    failing_channels: tuple[FailingChannel, ...]
    listings: tuple[Listing, ...]


_HEALTH = """
SELECT h.resource, h.health_indicator, h.last_sync_status, h.last_sync_time, h.conditions,
       coalesce(x.expected_every, interval '24 hours'), h.records_synced,
       (SELECT count(*) FROM vantage_quarantine q WHERE q.resource = h.resource AND q.resolved_at IS NULL),
       (SELECT count(*) FROM vantage_pending_links p WHERE p.resource = h.resource)
FROM sync_health h LEFT JOIN vantage_sync_expectation x ON x.resource = h.resource WHERE h.resource = ANY(%s)
ORDER BY array_position(ARRAY['red', 'yellow', 'green'], h.health_indicator), h.resource
"""

_RUNS = """
SELECT resource, run_id, started_at, completed_at, status, duration_ms / 1000.0, records_created, records_updated,
       records_deleted, jsonb_array_length(errors) + CASE WHEN status = 'success' THEN 0 ELSE records_quarantined END,
       coalesce(errors->0->>'code' || ': ' || (errors->0->>'message'), '')
FROM vantage_sync_history
WHERE resource = ANY(%s) AND completed_at IS NOT NULL AND started_at > now() - make_interval(days => %s)
ORDER BY started_at, id
"""

_LISTINGS = (
    (
        "Quarantine",
        ("resource", "record", "code", "message", "times seen", "last seen"),
        "SELECT resource, record_key, code, message, times_seen, last_seen_at FROM vantage_quarantine"
        " WHERE resolved_at IS NULL ORDER BY last_seen_at DESC, id LIMIT %s",
    ),
    (
        "Held back",
        ("resource", "what", "where", "records", "share", "since"),
        "SELECT resource, kind, concat_ws('.', table_name, nullif(column_name, '')), records,"
        " to_char(100 * share, 'FM990') || ' %%', held_at"
        " FROM vantage_held_back WHERE released_at IS NULL ORDER BY held_at DESC LIMIT %s",
    ),
    (
        "Links that wait",
        ("resource", "link", "waits for", "links", "since"),
        "SELECT resource, table_name || '.' || column_name, parent_table, count(*), min(first_seen_at)"
        " FROM vantage_pending_links GROUP BY 1, 2, 3 ORDER BY 4 DESC LIMIT %s",
    ),
    (
        "Failures of the last days",
        ("resource", "began", "status", "first error"),
        "SELECT resource, started_at, status, left(errors->0->>'code' || ': ' || (errors->0->>'message'), 500)"
        " FROM vantage_sync_history WHERE status IN ('failed', 'cancelled') AND started_at > now() - interval '7 days'"
        " ORDER BY started_at DESC LIMIT %s",
    ),
)


def read(connection: Connection, states: Sequence[str], *, days: int) -> ReportFacts:
    """The facts about the resources with these state names, with their runs of the last days."""
    found = tuple(conditions.of_resources(connection, states))
    with connection.cursor() as cursor:
        facts = ReportFacts(
            at=_now(cursor),
            days=days,
            resources=_resources(cursor, states, days),
            conditions=found,
            alerts=tuple(alerts.open_alerts(cursor)),
            failing_channels=tuple(alerts.failing_channels(cursor)),
            listings=tuple(_listing(cursor, *listing) for listing in _LISTINGS),
        )
    connection.rollback()
    return facts


def _resources(cursor: Cursor, states: Sequence[str], days: int) -> tuple[ResourceFacts, ...]:
    cursor.execute(_RUNS, (list(states), days))
    runs: dict[str, list[PastRun]] = {}
    for resource, run_id, began, ended, status, seconds, *rest in cursor.fetchall():
        past = PastRun(run_id, began, ended, status, float(seconds or 0), *rest)
        runs.setdefault(resource, []).append(past)
    cursor.execute(_HEALTH, (list(states),))
    found = []
    for resource, colour, status, watermark, holding, every, synced, refused, waiting in cursor.fetchall():
        ended = tuple(runs.get(resource, ()))
        found.append(
            ResourceFacts(resource, colour, status, watermark, tuple(holding), every, synced, refused, waiting, ended)
        )
    return tuple(found)


def _listing(cursor: Cursor, title: str, columns: tuple[str, ...], statement: str) -> Listing:
    cursor.execute(statement, (_EXAMPLES,))
    return Listing(title, columns, cursor.fetchall())


def _now(cursor: Cursor) -> datetime:
    cursor.execute("SELECT now()")
    row = cursor.fetchone()
    if row is None:
        raise LookupError("now()")
    at: datetime = row[0]
    return at
