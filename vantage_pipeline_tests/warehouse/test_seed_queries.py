"""The queries of ``sql/queries``: each runs as it stands, and finds what it is there to find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vantage_pipeline.settings import sql_dir
from vantage_pipeline_tests.database import Database

FILES = sorted((sql_dir() / "queries").glob("*.sql"))
STAGED = """
UPDATE vantage_sync_state SET last_sync_status = 'success', last_sync_time = now(), started_at = now() - interval '2 s',
    completed_at = now(), records_synced = 1000 WHERE resource = 'accounts';
UPDATE vantage_sync_state SET last_sync_status = 'failed', started_at = now() - interval '1 s', completed_at = now(),
    errors = '[{"code": "X"}, {"code": "Y"}]' WHERE resource = 'funds';
UPDATE vantage_sync_state SET last_sync_status = 'running', started_at = now() - interval '31 min'
    WHERE resource = 'cashflows';
UPDATE vantage_sync_state SET last_sync_status = 'success', last_sync_time = now() - interval '25 hours',
    started_at = now() - interval '25 hours 6 min', completed_at = now() - interval '25 hours' WHERE resource = 'commitments';
INSERT INTO vantage_sync_history (run_id, resource, status, started_at)
    SELECT n::text, 'funds', 'failed', now() - n * interval '1 day' FROM generate_series(1, 3) n;
INSERT INTO investors (name, external_id, source_kind) VALUES ('Same', '1', 'vantage'), ('Same', '2', 'vantage');
INSERT INTO investors (name) VALUES ('Theirs');
INSERT INTO transactions (external_id, amount) VALUES ('t1', 10.50);
INSERT INTO vantage_pending_links VALUES ('transactions', 't1', 'investor_id', 'investors', '9', 'cashflows', 'not there', 'r');
INSERT INTO vantage_quarantine (resource, table_name, record_key, code, field, message, record, run_id, resolved_at)
    VALUES ('funds', 'deals', '1', 'C', 'f', 'm', '{}', 'r', NULL), ('funds', 'deals', '2', 'C', 'f', 'm', '{}', 'r', now());
INSERT INTO vantage_held_back (resource, table_name, kind, column_name, records, share, run_id)
    VALUES ('funds', 'deals', 'clear', 'sector', 20, 0.95, 'r');
INSERT INTO vantage_alerts (condition, resource, began_at, ended_at) VALUES ('failed', 'funds', now(), NULL),
    ('failed', 'funds', now() - interval '2 d', now() - interval '1 d');
INSERT INTO invoice (bubble_id, invoice_number, total_amount) VALUES ('1x1', 'INV-1', 10.50);
"""
FIRST_COLUMNS: dict[str, list[Any]] = {
    "count_investors": [3],
    "count_investors_by_source": ["vantage", "DISTRIBUTOR"],
    "recent_vantage_investors": [1, 2],
    "recent_investors": ["Same", "Same", "Theirs"],
    "recent_invoices": ["1x1"],
    "duplicate_external_ids": [],
    "external_id_constraint": ["investors_external_id_unique"],
    "failed_syncs": ["funds"],
    "stuck_syncs": ["cashflows"],
    "stale_syncs": ["commitments"],
    "slow_syncs": ["commitments"],
    "slowest_syncs": ["commitments", "accounts", "funds"],
    "sync_statistics": [16],
    "repeated_failures": ["funds"],
    "orphaned_transactions": ["t1"],
    "pending_links": ["transactions"],
    "unvalidated_foreign_keys": [],
    "held_back": ["funds"],
    "quarantine": ["funds"],
    "as_of": ["1", "2"],
    "sync_history": ["funds", "funds", "funds"],
    "open_conditions": ["cashflows", "commitments", "commitments", "funds", "funds", "funds"],
    "open_alerts": ["funds"],
}


def text(name: str) -> str:
    return (sql_dir() / "queries" / f"{name}.sql").read_text()


@pytest.fixture
def staged(database: Database) -> Database:
    database.execute(STAGED)
    return database


def test_each_finds_what_it_is_there_to_find(staged: Database) -> None:
    found = {name: sorted(map(str, [r[0] for r in staged.rows(text(name))])) for name in FIRST_COLUMNS}
    assert found == {name: sorted(map(str, expected)) for name, expected in FIRST_COLUMNS.items()}


def test_each_file_is_one_commented_statement_that_runs(database: Database) -> None:
    for file in FILES:
        written = file.read_text()
        assert written.startswith("-- "), file.name
        assert written.rstrip().endswith(";") and written.count(";") - written.partition("\n")[0].count(";") == 1, (
            file.name
        )
        database.rows(written)


def test_the_dashboard_and_the_view_agree(staged: Database) -> None:
    dashboard = [(row[0], row[-1]) for row in staged.rows(text("sync_dashboard"))]
    assert dashboard == [(row[0], row[-1]) for row in staged.rows(text("sync_health"))]
    assert dashboard[:3] == [("cashflows", "red"), ("funds", "red"), ("bubble_agent", "yellow")]
    assert dashboard[-1] == ("accounts", "green")


def test_a_daily_sync_has_half_an_hour_until_its_resource_is_late(database: Database) -> None:
    health = "SELECT health_indicator, conditions FROM sync_health WHERE resource = 'funds'"
    for minutes, expected in ((29, ("green", [])), (31, ("yellow", ["stale"]))):
        database.execute(
            "UPDATE vantage_sync_state SET last_sync_status = 'success',"
            " last_sync_time = now() - interval '24 hours' - make_interval(mins => %s) WHERE resource = 'funds'",
            (minutes,),
        )
        assert database.rows(health) == [expected]


def test_the_status_puts_failures_first(staged: Database) -> None:
    rows = staged.rows(text("sync_status"))
    assert [row[0] for row in rows[:2]] == ["funds", "cashflows"]
    assert [row[0] for row in rows[-2:]] == ["accounts", "commitments"]
    assert rows[1][-1] == pytest.approx(31 * 60, abs=5)


def test_the_rate_is_in_records_a_second(staged: Database) -> None:
    rate = {row[0]: row[4] for row in staged.rows(text("slowest_syncs"))}
    assert rate["accounts"] == 500


def test_the_watermark_is_that_of_the_accounts(staged: Database) -> None:
    assert staged.scalar(text("incremental_watermark")) == staged.scalar(
        "SELECT last_sync_time FROM vantage_sync_state WHERE resource = 'accounts'"
    )


def test_every_query_file_is_looked_at() -> None:
    others = {"sync_dashboard", "sync_health", "sync_status", "incremental_watermark"}
    assert {file.stem for file in FILES} == FIRST_COLUMNS.keys() | others


def test_files_are_where_the_installed_package_looks() -> None:
    assert Path(sql_dir() / "queries").is_dir() and FILES
