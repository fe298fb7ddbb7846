"""``report``, ``metrics``, and what ``status`` and ``doctor`` say of alerts, as a person runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from vantage_pipeline_tests.conftest import ROOT, Finished
from vantage_pipeline_tests.database import Database

Run = Callable[..., Finished]
STAGED = """
INSERT INTO vantage_alerts (condition, resource, details) VALUES ('failed', 'accounts', '{"what": "the last sync failed"}');
INSERT INTO vantage_alert_messages (edge, title, body) VALUES ('began', 't', 'b');
INSERT INTO vantage_alert_deliveries (message_id, channel, tries, last_error) SELECT id, 'mailto', 2, 'refused'
    FROM vantage_alert_messages;
"""


@pytest.fixture
def environment(database: Database) -> dict[str, str]:
    database.execute(STAGED)
    return {"DATABASE_URL": database.url, "ALERT_URLS": "mailto://someone:pass-word-1@mail.example.com"}


def test_the_report_is_written_where_it_is_asked_for(run_cli: Run, environment: dict[str, str], tmp_path: Path) -> None:
    code, out, err = run_cli("report", "--out", str(tmp_path / "r.html"), env=environment)
    assert (code, err) == (0, "")
    assert str(tmp_path / "r.html") in out
    page = (tmp_path / "r.html").read_text()
    assert "alert channel mailto" in page and "refused" in page
    assert run_cli("report", "--out", str(tmp_path), env=environment)[0] == 2


def test_the_history_shows_what_went_wrong(run_cli: Run, environment: dict[str, str], database: Database) -> None:
    database.execute("""INSERT INTO vantage_sync_history (run_id, resource, status, started_at, records_deleted, errors,
        attempt, partial, options) VALUES ('r1', 'accounts', 'failed', now(), 7, '[{"code": "X1"}, {"code": "X2"}]', 2, true,
        '{"limit": 5}')""")
    database.execute("""INSERT INTO vantage_held_back (resource, table_name, kind, column_name, records, share, run_id)
        VALUES ('accounts', 'investors', 'delete', '', 60, 1, 'r1'), ('funds', 'deals', 'delete', '', 9, 1, 'r1')""")
    code, out, _ = run_cli("history", "accounts", "--json", env=environment)
    (told,) = json.loads(out)
    expected = {"deleted": 7, "held_back": 60, "errors": 2, "first_error": "X1", "attempt": 2, "partial": True}
    assert (code, {name: told[name] for name in expected}) == (0, expected)
    assert "X1" in run_cli("history", "accounts", env=environment).out


def test_status_and_doctor_tell_of_alerts_and_of_a_channel_that_fails(
    run_cli: Run, environment: dict[str, str]
) -> None:
    code, out, _ = run_cli("status", env=environment)
    assert code == 0
    assert "Open alerts" in out and "the last sync failed" in out
    code, out, err = run_cli("doctor", "--json", env=environment)
    (told,) = (row for row in json.loads(out) if row["check"] == "alerts")
    assert (code, told["result"]) == (1, "failed")
    assert "mailto: 1 messages wait: refused" in told["what it says"]
    assert "pass-word-1" not in out + err


def test_metrics_are_served_until_interrupted(environment: dict[str, str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "vantage_pipeline", "metrics", "--serve", "0"],
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address, timeout=60) as answer:
            families = {family.name for family in text_string_to_metric_families(answer.read().decode())}
        assert "vantage_pipeline_health" in families
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
