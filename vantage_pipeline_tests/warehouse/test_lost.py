from __future__ import annotations

from datetime import UTC, datetime, timedelta

from vantage_pipeline.warehouse import locks, state
from vantage_pipeline.warehouse.lost import close_dead, close_run
from vantage_pipeline.warehouse.state import Run
from vantage_pipeline_tests.database import Database

HISTORY = "SELECT run_id, resource, status FROM vantage_sync_history ORDER BY id"


def start(database: Database, run: str, resource: str) -> None:
    connection = database.connect()
    with connection.cursor() as cursor:
        state.announce(cursor, Run(run))
        state.start(cursor, resource)
    connection.commit()
    connection.close()


def test_a_running_row_without_its_lock_is_closed_and_one_with_it_is_not(database: Database) -> None:
    alive = database.connect()
    locks.acquire(alive, "accounts")
    start(database, "a", "accounts")
    start(database, "b", "funds")
    watcher = database.connect()
    assert close_dead(watcher) == ["funds"]
    assert close_dead(watcher) == []
    locks.release(alive, "accounts")
    alive.close()
    assert close_dead(watcher) == ["accounts"]
    watcher.close()
    assert database.rows(HISTORY) == [("a", "accounts", "failed"), ("b", "funds", "failed")]
    assert database.scalar("SELECT count(*) FROM vantage_sync_state WHERE last_sync_status = 'running'") == 0


def test_a_run_that_failed_before_its_first_step_is_recorded_once(database: Database) -> None:
    connection = database.connect()
    for _ in range(2):
        close_run(connection, "r", selected=["accounts"], created=datetime.now(UTC), code="X", message="m")
    assert database.rows(HISTORY) == [("r", "accounts", "failed")]
    connection.close()


def test_a_late_sensor_leaves_a_newer_run_alone(database: Database) -> None:
    start(database, "newer", "accounts")
    connection = database.connect()
    asked = datetime.now(UTC) - timedelta(minutes=5)
    assert close_run(connection, "older", selected=["accounts"], created=asked, code="X", message="m") == []
    connection.close()
    assert database.rows(HISTORY) == [("newer", "accounts", "running")]


def test_a_cancelled_run_says_so(database: Database) -> None:
    start(database, "r", "accounts")
    connection = database.connect()
    close_run(connection, "r", selected=[], created=datetime.now(UTC), code="CANCELLED", message="m", cancelled=True)
    connection.close()
    assert database.rows(HISTORY) == [("r", "accounts", "cancelled")]
    assert database.scalar("SELECT last_sync_status FROM vantage_sync_state WHERE resource = 'accounts'") == "failed"
