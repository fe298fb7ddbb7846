"""The functions that write the state: as the documents have them, and whoever speaks late or twice."""

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
    assert health["funds"] == ("red", ["failing_repeatedly", "failed"])
    assert health["cashflows"] == ("red", ["stuck"])
    assert health["valuations"] == ("yellow", ["never_run"])


def test_the_functions_are_called_as_the_documents_call_them(database: Database) -> None:
    """By name, as PostgREST does, and for a resource that has no row yet."""
    database.execute("SELECT start_vantage_sync(p_resource => 'entities')")
    database.execute(
        "SELECT complete_vantage_sync(p_resource => 'entities', p_records_synced => 150, p_records_created => 10,"
        " p_records_updated => 140)"
    )
    assert database.rows(STATE, "entities") == [("success", 150, 10, 140, [])]
    database.execute("SELECT start_vantage_sync(p_resource => 'entities')")
    errors = [{"code": "API_TIMEOUT", "message": "timed out"}, {"code": "PARSE_ERROR", "record_id": "12345"}]
    database.rows("SELECT fail_vantage_sync(p_resource => 'entities', p_errors => %s::jsonb)", json.dumps(errors))
    assert database.rows(STATE, "entities")[0][0] == "failed"
    assert database.rows(STATE, "entities")[0][4] == errors
    assert database.rows("SELECT status FROM vantage_sync_history ORDER BY id") == [("success",), ("failed",)]


@pytest.mark.parametrize(("given", "kept"), [("NULL", []), ("'null'", []), ("""'{"code": "X"}'""", [{"code": "X"}])])
def test_a_failure_is_recorded_whatever_the_form_of_its_errors(database: Database, given: str, kept: list[Any]) -> None:
    database.execute(f"SELECT start_vantage_sync('funds'); SELECT fail_vantage_sync('funds', {given}::jsonb)")
    assert database.rows(STATE, "funds") == [("failed", 0, 0, 0, kept)]


def test_a_run_that_succeeds_lists_what_it_quarantined(database: Database) -> None:
    call(database, "a", "SELECT start_vantage_sync('funds')")
    call(database, "a", "SELECT complete_vantage_sync('funds', 9, 8, 0)", errors=[{"code": "C"}], records_quarantined=1)
    assert database.rows(STATE, "funds") == [("success", 9, 8, 0, [{"code": "C"}])]
    assert database.scalar("SELECT records_quarantined FROM vantage_sync_history") == 1


def test_what_was_committed_before_a_kill_is_counted(database: Database) -> None:
    """A sensor knows only that the run is dead; the checkpoints know how far it was."""
    call(database, "a", "SELECT start_vantage_sync('cashflows')", triggered_by="schedule daily", options={"full": True})
    details = """'{"records_synced": 20, "records_created": 15, "records_updated": 5, "checkpoint": {"page": 2}}'"""
    database.execute(f"SELECT checkpoint_vantage_sync('cashflows', {details})")
    call(database, "a", """SELECT fail_vantage_sync('cashflows', '[{"code": "KILLED"}]')""")
    assert database.rows(STATE, "cashflows") == [("failed", 20, 15, 5, [{"code": "KILLED"}])]
    assert database.rows("SELECT records_created, checkpoint, triggered_by, options FROM vantage_sync_history") == [
        (15, {"page": 2}, "schedule daily", {"full": True})
    ]


def test_a_person_at_a_terminal_sees_the_checkpoint_too(database: Database) -> None:
    database.execute("SELECT start_vantage_sync('funds')")
    database.execute("""SELECT checkpoint_vantage_sync('funds', '{"records_synced": 3}')""")
    assert database.rows("SELECT records_synced, triggered_by LIKE 'by hand: %' FROM vantage_sync_history") == [
        (3, True)
    ]


def test_health_goes_by_the_resource_s_own_expectations(database: Database) -> None:
    database.execute(
        """UPDATE vantage_sync_expectation SET expected_every = '1 hour', slow_after = '1 s' WHERE resource = 'funds';
        UPDATE vantage_sync_state SET last_sync_status = 'success', last_sync_time = now() - interval '2 hours',
            started_at = now() - interval '2 hours', completed_at = now() - interval '2 hours' + interval '2 s'
            WHERE resource IN ('funds', 'accounts');
        UPDATE vantage_sync_state SET created_at = now() - interval '25 hours' WHERE resource = 'valuations'"""
    )
    health = {r[0]: r[1:] for r in database.rows("SELECT resource, health_indicator, conditions FROM sync_health")}
    assert health["funds"] == ("yellow", ["stale", "slow"])
    assert health["accounts"] == ("green", [])
    assert health["valuations"] == ("yellow", ["stale", "never_run"])


def test_slower_than_usual_needs_something_usual(database: Database) -> None:
    for resource, runs in (("funds", 6), ("accounts", 5)):
        database.rows(
            "INSERT INTO vantage_sync_history (run_id, resource, status, started_at, duration_ms)"
            " SELECT n::text, %s, 'success', now() - n * interval '1 day', 4000 FROM generate_series(0, %s) n",
            [resource, runs - 1],
        )
    took = "UPDATE vantage_sync_state SET last_sync_status = 'success', started_at = now() - %s * interval '1 s', completed_at = now()"
    conditions = "SELECT array_agg(resource) FROM sync_health WHERE 'slower_than_usual' = ANY (conditions)"
    database.rows(took, 8)
    assert database.scalar(conditions) is None  # twice the usual, but only four seconds more
    database.rows(took, 10)
    assert database.scalar(conditions) == ["funds"]
