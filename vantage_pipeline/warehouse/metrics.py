"""Metrics for Prometheus, read from the database at each scrape: they outlive every process.

Counters are sums over the history. Where months of it are dropped they fall, which Prometheus takes for a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg2
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline.errors import PipelineError

_PREFIX = "vantage_pipeline_"

_COUNTERS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    (
        "records",
        "Records by what became of them",
        ("resource", "outcome"),
        "SELECT resource, outcome, sum(number) FROM vantage_sync_history h CROSS JOIN LATERAL (VALUES"
        " ('created', records_created), ('updated', records_updated), ('unchanged', records_unchanged),"
        " ('quarantined', records_quarantined), ('deleted', records_deleted)) v (outcome, number) GROUP BY 1, 2",
    ),
    (
        "api_calls",
        "Calls of the APIs by HTTP status, or 'no answer'",
        ("resource", "status"),
        "SELECT resource, answer, sum(number::bigint) FROM vantage_sync_history h"
        " CROSS JOIN LATERAL jsonb_each_text(h.api_calls_by_status) v (answer, number) GROUP BY 1, 2",
    ),
    (
        "runs",
        "Syncs that ended, by how",
        ("resource", "status"),
        "SELECT resource, status, count(*) FROM vantage_sync_history WHERE status <> 'running' GROUP BY 1, 2",
    ),
    (
        "sync_seconds",
        "Seconds spent in syncs",
        ("resource",),
        "SELECT resource, sum(duration_ms) / 1000.0 FROM vantage_sync_history WHERE duration_ms IS NOT NULL GROUP BY 1",
    ),
)

_GAUGES: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    (
        "last_sync_seconds",
        "Seconds that the last sync took",
        ("resource",),
        "SELECT resource, duration_ms / 1000.0 FROM vantage_sync_state WHERE duration_ms IS NOT NULL",
    ),
    (
        "watermark_lag_seconds",
        "Seconds since the watermark: what changed before it is in the tables",
        ("resource",),
        "SELECT resource, extract(epoch FROM now() - last_sync_time) FROM vantage_sync_state"
        " WHERE last_sync_time IS NOT NULL",
    ),
    (
        "health",
        "0 green, 1 yellow, 2 red",
        ("resource",),
        "SELECT resource, array_position(ARRAY['green', 'yellow', 'red'], health_indicator) - 1 FROM sync_health",
    ),
    (
        "condition",
        "1 for each condition that holds",
        ("resource", "condition"),
        "SELECT resource, condition, 1 FROM sync_conditions",
    ),
    (
        "quarantine_records",
        "Records in quarantine",
        ("resource",),
        "SELECT s.resource, (SELECT count(*) FROM vantage_quarantine q WHERE q.resource = s.resource"
        " AND q.resolved_at IS NULL) FROM vantage_sync_state s",
    ),
    (
        "pending_links",
        "Links that wait for a record",
        ("resource",),
        "SELECT s.resource, (SELECT count(*) FROM vantage_pending_links p WHERE p.resource = s.resource)"
        " FROM vantage_sync_state s",
    ),
    (
        "open_alert",
        "1 for each alert that is open",
        ("alert", "concerns"),
        "SELECT condition, resource, 1 FROM vantage_alerts WHERE ended_at IS NULL",
    ),
    (
        "undelivered_alert_messages",
        "Alert messages that wait for their channel",
        ("channel",),
        "SELECT channel, count(*) FILTER (WHERE delivered_at IS NULL) FROM vantage_alert_deliveries GROUP BY 1",
    ),
    (
        "last_look_timestamp_seconds",
        "When the daemon last looked for alerts",
        (),
        "SELECT extract(epoch FROM looked_at) FROM vantage_last_look",
    ),
)


class PipelineCollector(Collector):
    """Reads the metrics from the database; where that does not give them all, ``vantage_pipeline_up`` is 0."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily(f"{_PREFIX}up", "1 where the database answers and is migrated")
        try:
            connection = self._connect()
        except PipelineError:
            up.add_metric([], 0)
            yield up
            return
        try:
            with connection.cursor() as cursor:
                families = list(_families(cursor))
        except psycopg2.Error:
            families = []
        finally:
            connection.close()
        up.add_metric([], 1 if families else 0)
        yield from families
        yield up

    def describe(self) -> Iterator[Metric]:
        """Nothing: registering must not ask the database."""
        return iter(())


def registry(connect: Callable[[], Connection]) -> CollectorRegistry:
    """A registry with these metrics alone."""
    made = CollectorRegistry()
    made.register(PipelineCollector(connect))
    return made


def _families(cursor: Cursor) -> Iterator[Metric]:
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily]
    for kind, metrics in ((CounterMetricFamily, _COUNTERS), (GaugeMetricFamily, _GAUGES)):
        for name, description, labels, statement in metrics:
            family = kind(f"{_PREFIX}{name}", description, labels=labels)
            cursor.execute(statement)
            for *values, number in cursor.fetchall():
                family.add_metric([str(value) for value in values], float(number))
            yield family
