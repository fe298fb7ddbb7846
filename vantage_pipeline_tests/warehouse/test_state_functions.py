from __future__ import annotations

import json
from typing import Any

import psycopg2
import pytest

from vantage_pipeline_tests.database import Database

STATE = "SELECT last_sync_status, records_synced, records_created, records_updated, errors FROM vantage_sync_state WHERE resource = %s"


def call(database: Database, run: str | None, statement: str, **facts: Any) -> None:
    said = json.dumps({"run_id": run, **facts}) if run else ""
    database.rows("SELECT set_config('vantage_pipeline.run', %s, false); " + statement, said)


def test_the_manual_sequence_gives_what_the_documents_say(database: Database) -> None:
    database.rows("SELECT start_vantage_sync('accounts')")
    assert database.rows(
        "SELECT last_sync_status, completed_at FROM vantage_sync_state WHERE resource = 'accounts'"
    ) == [("running", None)]
    database.rows("SELECT complete_vantage_sync('accounts', 100, 10, 90)")
    assert database.rows(STATE, "accounts") == [("success", 100, 10, 90, [])]
    assert database.scalar(
        "SELECT duration_ms > 0 AND now() - last_sync_time < interval '1 minute' FROM"
        " vantage_sync_state WHERE resource = 'accounts'"
    )
    database.rows(
        """SELECT start_vantage_sync('funds'); SELECT fail_vantage_sync('funds', '[{"code":"TEST"}]'::jsonb)"""
    )
    assert database.rows(STATE, "funds") == [("failed", 0, 0, 0, [{"code": "TEST"}])]
    assert database.scalar("SELECT last_sync_time FROM vantage_sync_state WHERE resource = 'funds'") is None
    for values, check in (("(resource, last_sync_status) VALUES ('t', 'invalid')", "last_sync_status_check"),
                          ("(resource, duration_ms) VALUES ('t', -100)", "duration_ms_check")):  # fmt: skip
        with pytest.raises(psycopg2.errors.CheckViolation, match=check):
            database.rows(f"INSERT INTO vantage_sync_state {values}")


def test_saying_it_twice_changes_nothing(database: Database) -> None:
    for _ in range(2):
        call(database, "a", "SELECT start_vantage_sync('accounts')")
    for _ in range(2):
        call(database, "a", "SELECT complete_vantage_sync('accounts', 5, 3, 2)", records_unchanged=0)
    before = database.rows("SELECT * FROM vantage_sync_state")
    call(database, "a", "SELECT fail_vantage_sync('accounts', '[]')")
    call(database, "a", "SELECT start_vantage_sync('accounts')")
    assert database.rows("SELECT * FROM vantage_sync_state") == before
    assert database.rows("SELECT run_id, status, records_created FROM vantage_sync_history") == [("a", "success", 3)]


def test_a_late_word_of_an_older_run_leaves_the_newer_one_alone(database: Database) -> None:
    call(database, "old", "SELECT start_vantage_sync('accounts')")
    call(database, "new", "SELECT start_vantage_sync('accounts')")
    call(database, "old", "SELECT fail_vantage_sync('accounts', '[]')")
    assert database.rows(STATE, "accounts")[0][0] == "running"
    call(database, "new", "SELECT complete_vantage_sync('accounts', 1, 1, 0)")
    assert database.rows("SELECT run_id, status FROM vantage_sync_history ORDER BY id") == [
        ("old", "failed"),
        ("new", "success"),
    ]
    assert database.rows("SELECT errors->0->>'code' FROM vantage_sync_history WHERE run_id = 'old'") == [
        ("INTERRUPTED",)
    ]


def test_the_watermark_never_moves_back(database: Database) -> None:
    for run, moment in (("a", "'2026-02-01Z'"), ("b", "'2026-01-01Z'"), ("c", "NULL")):
        call(
            database,
            run,
            f"SELECT start_vantage_sync('accounts'); SELECT complete_vantage_sync('accounts', 0, 0, 0, {moment})",
        )
    assert database.scalar("SELECT last_sync_time = '2026-02-01Z' FROM vantage_sync_state WHERE resource = 'accounts'")


def test_a_run_that_failed_before_it_began_is_recorded(database: Database) -> None:
    call(database, "a", "SELECT fail_vantage_sync('accounts', '[{\"code\": \"X\"}]')", status="cancelled")
    assert database.rows(STATE, "accounts")[0][0] == "failed"
    assert database.rows("SELECT status FROM vantage_sync_history") == [("cancelled",)]


def test_completing_what_does_not_run_is_refused(database: Database) -> None:
    with pytest.raises(psycopg2.errors.RaiseException, match="no sync of accounts is running"):
        database.rows("SELECT complete_vantage_sync('accounts', 1, 1, 0)")


def test_health_has_three_colours(database: Database) -> None:
    database.rows("SELECT start_vantage_sync('accounts'); SELECT complete_vantage_sync('accounts', 1, 1, 0)")
    for _ in range(3):
        database.rows("SELECT start_vantage_sync('funds')")
        database.rows("SELECT fail_vantage_sync('funds', '[]')")
    database.rows("SELECT start_vantage_sync('cashflows')")
    database.rows(
        "UPDATE vantage_sync_state SET started_at = now() - interval '31 minutes' WHERE resource = 'cashflows'"
    )
    health = {r[0]: r[1:] for r in database.rows("SELECT resource, health_indicator, conditions FROM sync_health")}
    assert health["accounts"] == ("green", [])
    assert health["funds"] == ("red", ["failing"])
    assert health["cashflows"] == ("red", ["stuck"])
    assert health["valuations"][0] == "yellow"
