"""Words about a sync that come twice, late, out of order or at the same time."""

from __future__ import annotations

import json
import threading
import time
from itertools import pairwise
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vantage_pipeline.warehouse.embedded import EmbeddedServer
from vantage_pipeline_tests.database import Database, fresh

LEGAL = {
    ("never_run", "running"),
    ("running", "success"),
    ("running", "failed"),
    ("success", "running"),
    ("failed", "running"),
}
START = "SELECT start_vantage_sync('accounts')"
DONE = "SELECT complete_vantage_sync('accounts', 5, 3, 2)"
TURNED_AWAY = """SELECT fail_vantage_sync('accounts', '[{"code": "SYNC_ALREADY_RUNNING"}]')"""
FAILED = """SELECT fail_vantage_sync('accounts', '[{"code": "X"}]')"""


def say(database: Database, run: str, statement: str, **facts: Any) -> None:
    database.rows("SELECT set_config('vantage_pipeline.run', %s, false)", json.dumps({"run_id": run, **facts}))
    database.execute(statement)


def state(database: Database) -> tuple[Any, ...]:
    return database.rows("SELECT * FROM vantage_sync_state WHERE resource = 'accounts'")[0]


def status(database: Database) -> str:
    found: str = database.scalar("SELECT last_sync_status FROM vantage_sync_state WHERE resource = 'accounts'")
    return found


def history(database: Database) -> list[tuple[Any, ...]]:
    return database.rows("SELECT run_id, status, errors->0->>'code' FROM vantage_sync_history ORDER BY id")


@pytest.mark.parametrize("last", [DONE, FAILED])
@pytest.mark.parametrize("ended", [False, True])
def test_a_late_word_changes_the_older_run_s_history_only(database: Database, last: str, ended: bool) -> None:
    say(database, "old", START)
    say(database, "new", START)
    if ended:
        say(database, "new", DONE)
    before = state(database)
    assert history(database)[0] == ("old", "failed", "INTERRUPTED")
    for _ in range(2):
        say(database, "old", last)
        assert state(database) == before
    assert history(database)[0] == (("old", "success", None) if last == DONE else ("old", "failed", "X"))
    first = database.rows("SELECT * FROM vantage_sync_history WHERE run_id = 'old'")
    say(database, "old", last)
    assert database.rows("SELECT * FROM vantage_sync_history WHERE run_id = 'old'") == first


@pytest.mark.parametrize("before", [[], [START, DONE], [START, FAILED]])
def test_a_run_that_is_turned_away_leaves_the_state_to_the_last_sync(database: Database, before: list[str]) -> None:
    for statement in before:
        say(database, "before", statement)
    stood = state(database)
    for _ in range(2):
        say(database, "turned away", TURNED_AWAY)
    assert state(database) == stood
    assert history(database)[len(before[:1]) :] == [("turned away", "failed", "SYNC_ALREADY_RUNNING")]


def test_a_run_that_was_turned_away_is_no_newer_sync(database: Database) -> None:
    say(database, "taken for dead", START)
    say(database, "taken for dead", """SELECT fail_vantage_sync('accounts', '[{"code": "RUN_LOST"}]')""")
    say(database, "turned away", TURNED_AWAY)
    say(database, "taken for dead", DONE)
    assert status(database) == "success"
    say(database, "began before", START, started_at="2026-01-01T00:00:00Z")
    assert status(database) == "success"
    database.execute("DELETE FROM vantage_sync_history WHERE run_id <> 'turned away'")
    say(database, "alone", START, started_at="2026-01-01T00:00:00Z")
    assert status(database) == "running"


def test_a_run_that_is_turned_away_leaves_the_running_one_alone(database: Database) -> None:
    say(database, "runs", START)
    before = state(database)
    say(database, "turned away", TURNED_AWAY)
    assert state(database) == before
    say(database, "runs", DONE)
    assert history(database) == [("runs", "success", None), ("turned away", "failed", "SYNC_ALREADY_RUNNING")]
    assert status(database) == "success"


@pytest.mark.parametrize("word", [START, FAILED, DONE])
def test_a_first_word_that_comes_after_a_newer_run_s_last(database: Database, word: str) -> None:
    say(database, "new", START)
    say(database, "new", DONE)
    before = state(database)
    say(database, "old", word, started_at="2026-01-01T00:00:00Z", completed_at="2026-01-01T00:01:00Z")
    assert state(database) == before
    # its row lies in the month in which it ran
    assert [row[0] for row in database.rows("SELECT run_id FROM vantage_sync_history ORDER BY started_at")] == [
        "old",
        "new",
    ]
    if word != START:
        assert database.scalar("SELECT duration_ms FROM vantage_sync_history WHERE run_id = 'old'") == 60_000


def test_a_run_taken_for_dead_that_commits_after_all_has_succeeded(database: Database) -> None:
    say(database, "a", START)
    say(database, "a", FAILED)
    say(database, "a", DONE)
    assert (status(database), history(database)) == ("success", [("a", "success", None)])
    before = state(database)
    say(database, "a", FAILED)
    assert state(database) == before


def test_a_run_that_never_said_it_began_but_ended_well(database: Database) -> None:
    say(database, "a", DONE)
    assert (status(database), history(database)) == ("success", [("a", "success", None)])


def test_a_cancelled_run_is_failed_in_the_state(database: Database) -> None:
    say(database, "a", START)
    say(database, "a", FAILED, status="cancelled")
    assert (status(database), history(database)) == ("failed", [("a", "cancelled", "X")])


def test_partitions_of_one_run_have_a_row_each(database: Database) -> None:
    for day in ("2026-01-01", "2026-01-02"):
        say(database, "a", START, partition_key=day)
        say(database, "a", DONE, partition_key=day)
    assert database.rows("SELECT partition_key, status FROM vantage_sync_history ORDER BY 1") == [
        ("2026-01-01", "success"),
        ("2026-01-02", "success"),
    ]


def test_runs_that_start_at_the_same_time_leave_one_running(database: Database) -> None:
    ready = threading.Barrier(6)
    broken: list[BaseException] = []

    def begin(number: int) -> None:
        connection = database.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT set_config('vantage_pipeline.run', %s, false)", (json.dumps({"run_id": f"r{number}"}),)
                )
                ready.wait(30)
                cursor.execute(START)
            connection.commit()
        except (psycopg2.Error, threading.BrokenBarrierError) as error:
            broken.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert broken == []
    rows = history(database)
    assert sorted(run for run, _, _ in rows) == [f"r{number}" for number in range(6)]
    assert sorted(status for _, status, _ in rows) == ["failed"] * 5 + ["running"]
    assert status(database) == "running"


def test_a_start_that_waited_for_another_sees_what_that_one_did(database: Database) -> None:
    """Had it looked before it waited, it would not know of the run that it has to close."""
    first, second = database.connect(), database.connect()
    with first.cursor() as cursor:
        cursor.execute(START)

    def begin() -> None:
        with second.cursor() as waiting:
            waiting.execute(START)
        second.commit()

    thread = threading.Thread(target=begin)
    thread.start()
    blocked = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
    deadline = time.monotonic() + 30
    while not database.scalar(blocked, second.info.backend_pid) and time.monotonic() < deadline:
        thread.join(0.01)
    first.commit()
    thread.join(30)
    first.close()
    second.close()
    assert [status for _, status, _ in history(database)] == ["failed", "running"]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kuala_Lumpur"])
def test_months_meet_in_utc_whatever_the_session_s_zone(database: Database, zone: str) -> None:
    database.rows("SELECT set_config('timezone', %s, false)", zone)
    moments = ("2027-02-28T23:59:59Z", "2027-03-01T00:00:00Z", "2027-03-31T23:59:59Z", "2027-04-01T00:00:00Z")
    for moment in moments:
        database.rows("SELECT vantage_history_partition(%s)", moment)
        database.rows(
            "INSERT INTO vantage_sync_history (run_id, resource, status, started_at) VALUES (%s, 'x', 'failed', %s)",
            [moment, moment],
        )
    where = database.rows("SELECT run_id, tableoid::regclass::text FROM vantage_sync_history ORDER BY started_at")
    assert [table for _, table in where] == [f"vantage_sync_history_2027{month}" for month in ("02", "03", "03", "04")]


def test_rows_in_the_default_partition_do_not_stop_a_sync(database: Database) -> None:
    database.execute("DROP TABLE " + ", ".join(name for (name,) in database.rows(MONTHS)))
    database.execute(
        "INSERT INTO vantage_sync_history (run_id, resource, status, started_at) VALUES ('early', 'x', 'failed', now())"
    )
    database.execute(START + ";" + DONE)
    assert status(database) == "success"
    assert database.scalar("SELECT count(*) FROM vantage_sync_history_default") == 2


def test_a_reader_of_the_history_does_not_hold_up_the_turn_of_the_month(database: Database) -> None:
    database.execute("DROP TABLE " + ", ".join(name for (name,) in database.rows(MONTHS)))
    reader = database.connect()
    with reader.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM vantage_sync_history")
        database.execute("SET statement_timeout = '20s'")
        database.execute(START)
    reader.close()
    assert history(database) == [(database.scalar("SELECT run_id FROM vantage_sync_history"), "running", None)]


MONTHS = """
SELECT inhrelid::regclass::text FROM pg_inherits
WHERE inhparent = 'vantage_sync_history'::regclass AND inhrelid <> 'vantage_sync_history_default'::regclass
"""
WATCH = """
CREATE TABLE seen (id bigserial, resource text, status text, watermark timestamptz);
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO seen (resource, status, watermark) VALUES (NEW.resource, NEW.last_sync_status, NEW.last_sync_time);
    RETURN NEW; END $$;
CREATE TRIGGER watch AFTER INSERT OR UPDATE ON vantage_sync_state FOR EACH ROW EXECUTE FUNCTION watch();
"""
words = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", ""]),
        st.sampled_from(["start", "complete", "fail", "cancel", "checkpoint"]),
        st.integers(0, 9),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def watched(postgres: EmbeddedServer, migrated_template: str) -> Any:
    with fresh(postgres, migrated_template) as made:
        made.execute(WATCH)
        yield made


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spoken=words)
def test_whatever_is_said_in_whatever_order_the_state_stays_legal(watched: Database, spoken: list[Any]) -> None:
    resource = f"r{watched.scalar('SELECT count(DISTINCT resource) FROM seen')}"
    runs = set()
    for run, verb, day in spoken:
        said = {"run_id": run} if run else {}
        if verb == "cancel":
            said["status"] = "cancelled"
        watched.rows("SELECT set_config('vantage_pipeline.run', %s, false)", json.dumps(said))
        try:
            if verb == "start":
                watched.rows("SELECT start_vantage_sync(%s)", resource)
            elif verb == "complete":
                watched.rows("SELECT complete_vantage_sync(%s, 1, 1, 0, %s)", [resource, f"2026-01-1{day}Z"])
            elif verb == "checkpoint":
                watched.rows("SELECT checkpoint_vantage_sync(%s, '{}')", resource)
            else:
                watched.rows("SELECT fail_vantage_sync(%s, '[]')", resource)
        except psycopg2.errors.RaiseException:
            assert (run, verb) == ("", "complete")
        if run and verb != "checkpoint":
            runs.add(run)

    seen = watched.rows("SELECT status, watermark FROM seen WHERE resource = %s ORDER BY id", resource)
    steps = [(before, after) for (before, _), (after, _) in pairwise(seen)]
    assert set(steps) <= LEGAL
    marks = [mark for _, mark in seen if mark is not None]
    assert marks == sorted(marks)
    rows = watched.rows("SELECT run_id, status FROM vantage_sync_history WHERE resource = %s ORDER BY id", resource)
    assert {run for run, _ in rows if not run.startswith("manual-")} == runs
    assert len(rows) == len({run for run, _ in rows})
    running = [run for run, status in rows if status == "running"]
    assert len(running) <= 1
    assert (seen[-1][0] if seen else "never_run") == "running" if running else True
