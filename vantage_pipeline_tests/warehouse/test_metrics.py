"""The metrics as Prometheus reads them, and that the example dashboard asks for nothing else."""

from __future__ import annotations

import json
import re

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from vantage_pipeline.errors import DatabaseUnreachable
from vantage_pipeline.warehouse import engine
from vantage_pipeline.warehouse.metrics import registry
from vantage_pipeline_tests.conftest import ROOT
from vantage_pipeline_tests.database import Database

STAGED = """
INSERT INTO vantage_sync_history (run_id, resource, status, started_at, completed_at, duration_ms, records_created,
    records_updated, api_calls_by_status)
VALUES ('1', 'accounts', 'success', now(), now(), 1500, 60, 0, '{"200": 5, "429": 1}'),
    ('2', 'accounts', 'success', now(), now(), 500, 1, 2, '{"200": 2, "no answer": 3}'),
    ('3', 'accounts', 'failed', now(), now(), 1000, 0, 0, '{}');
UPDATE vantage_sync_state SET last_sync_status = 'failed', last_sync_time = now() - interval '1 hour',
    started_at = now() - interval '1 s', completed_at = now() WHERE resource = 'accounts';
INSERT INTO vantage_quarantine (resource, table_name, record_key, code, field, message, record, run_id)
    VALUES ('funds', 'deals', '1', 'C', 'f', 'm', '{}', 'r');
INSERT INTO vantage_alerts (condition, resource) VALUES ('failed', 'accounts');
INSERT INTO vantage_alert_messages (edge, title, body) VALUES ('began', 't', 'b');
INSERT INTO vantage_alert_deliveries (message_id, channel) SELECT id, 'json' FROM vantage_alert_messages;
INSERT INTO vantage_last_look (looked_at) VALUES (now());
"""
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(url: str) -> Samples:
    text = generate_latest(registry(lambda: engine.connect(url))).decode()
    return {
        (sample.name.removeprefix("vantage_pipeline_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def samples(database: Database) -> Samples:
    database.execute(STAGED)
    return scraped(database.url)


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def test_they_say_what_the_history_says(samples: Samples) -> None:
    assert value(samples, "records_total", resource="accounts", outcome="created") == 61
    assert value(samples, "records_total", resource="accounts", outcome="updated") == 2
    assert value(samples, "api_calls_total", resource="accounts", status="200") == 7
    assert value(samples, "api_calls_total", resource="accounts", status="no answer") == 3
    assert value(samples, "runs_total", resource="accounts", status="success") == 2
    assert value(samples, "runs_total", resource="accounts", status="failed") == 1
    assert value(samples, "sync_seconds_total", resource="accounts") == 3
    assert value(samples, "watermark_lag_seconds", resource="accounts") >= 3600
    assert value(samples, "health", resource="accounts") == 2
    assert value(samples, "condition", resource="accounts", condition="failed") == 1
    assert value(samples, "quarantine_records", resource="funds") == 1
    assert value(samples, "open_alert", alert="failed", concerns="accounts") == 1
    assert value(samples, "undelivered_alert_messages", channel="json") == 1
    assert value(samples, "up") == 1


def test_the_dashboard_asks_only_for_what_is_there(samples: Samples) -> None:
    dashboard = json.loads((ROOT / "docs/dashboards/vantage-pipeline.json").read_text())
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel["targets"]
        for name in re.findall(r"vantage_pipeline_(\w+)", target["expr"])
    }
    there = {name for name, _ in samples}
    assert asked - there == set()
    assert there - asked == set()  # and shows all of it


def test_an_empty_database_has_metrics_too(database: Database) -> None:
    assert value(scraped(database.url), "up") == 1


def test_a_database_that_lacks_a_migration_is_told_and_nothing_else(database: Database) -> None:
    database.execute("DROP TABLE vantage_last_look")
    assert scraped(database.url) == {("up", frozenset()): 0}


def test_a_database_that_is_down_is_told() -> None:
    url = "postgresql+psycopg2://someone@127.0.0.1:9/x"
    with pytest.raises(DatabaseUnreachable):
        engine.connect(url)
    assert scraped(url) == {("up", frozenset()): 0}
