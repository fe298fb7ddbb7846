"""PostgreSQL misbehaves in the middle of a sync: the sync gets over it or says so, and the next one completes it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from vantage_pipeline import catalog
from vantage_pipeline.errors import DatabaseUnreachable, SyncAlreadyRunning, WarehouseError
from vantage_pipeline.settings import sql_dir
from vantage_pipeline.warehouse import crash_points, locks, migrations
from vantage_pipeline.warehouse.load_report import LoadOptions
from vantage_pipeline_tests.database import Database
from vantage_pipeline_tests.equality import differing
from vantage_pipeline_tests.pipeline import Pipeline

OURS = "application_name = 'vantage-pipeline' AND datname = current_database()"
BLOCKED = f"SELECT pid FROM pg_stat_activity WHERE {OURS} AND wait_event_type = 'Lock'"
STATE = "SELECT last_sync_status, errors->0->>'code', errors->0->>'message' FROM vantage_sync_state WHERE resource = %s"
HISTORY = "SELECT status FROM vantage_sync_history WHERE resource = 'accounts' ORDER BY id"


@contextmanager
def at(point: str, act: Callable[[], object], nth: int = 1) -> Iterator[list[str]]:
    """Do something the `nth` time that a point is reached; gives the points reached."""
    reached: list[str] = []

    def arrive(name: str) -> None:
        reached.append(name)
        if name == point and reached.count(point) == nth:
            act()

    with crash_points.armed(arrive):
        yield reached


def wait_for(database: Database, query: str) -> int:
    """The first value of a query, once it gives one: what other sessions do is to be seen there alone."""
    for _ in range(2_000):
        found = database.scalar(query)
        if found is not None:
            return int(found)
        threading.Event().wait(0.01)
    raise AssertionError(f"never seen: {query}")


def assert_equal(pipeline: Pipeline) -> None:
    records = pipeline.sandbox.vantage.records["accounts"]
    assert differing(pipeline.database, catalog.table("investors"), records) == set()


def assert_completed_by_the_next(pipeline: Pipeline, *ended: str) -> None:
    pipeline.sync("accounts", full=True)
    assert_equal(pipeline)
    assert [status for (status,) in pipeline.database.rows(HISTORY)] == [*ended, "success"]


@pytest.fixture
def synced(pipeline: Pipeline) -> Pipeline:
    """Accounts that were synced once, and have changed since."""
    pipeline.sync("accounts")
    pipeline.sandbox.vantage.change("accounts", 60, field="country", value="Elsewhere")
    pipeline.changes = {"page_size": 20, "batch_records": 20, "concurrency": 1}
    return pipeline


@pytest.fixture
def other(synced: Pipeline) -> Iterator[Connection]:
    """Another session, in a transaction."""
    connection = synced.database.connect()
    yield connection
    connection.close()


def test_a_lock_held_by_another_session_ends_the_sync(synced: Pipeline, other: Connection) -> None:
    with other.cursor() as cursor:
        cursor.execute("LOCK TABLE investors IN SHARE MODE")
    with pytest.raises(
        WarehouseError, match=r"accounts: PostgreSQL refused a statement .*others hold the rows; run the sync"
    ):
        synced.sync("accounts", options=LoadOptions(table_lock_seconds=0.1))
    assert synced.database.rows(STATE, "accounts")[0][:2] == ("failed", "DATABASE_ERROR")
    other.rollback()
    assert_completed_by_the_next(synced, "success", "failed")


def test_a_lock_that_is_given_up_in_time_is_waited_for(synced: Pipeline, other: Connection) -> None:
    with other.cursor() as cursor:
        cursor.execute("LOCK TABLE investors IN SHARE MODE")

    def give_up() -> None:
        wait_for(synced.database, BLOCKED)
        other.rollback()

    helper = threading.Thread(target=give_up)
    helper.start()
    synced.sync("accounts")
    helper.join()
    assert_equal(synced)


@pytest.mark.parametrize(
    ("how", "told"), [("pg_cancel_backend", "DATABASE_ERROR"), ("pg_terminate_backend", "DATABASE_UNREACHABLE")]
)
def test_a_statement_is_cancelled_or_its_session_ended(
    synced: Pipeline, other: Connection, how: str, told: str
) -> None:
    with other.cursor() as cursor:
        cursor.execute("LOCK TABLE investors IN SHARE MODE")

    def strike() -> None:
        pid = wait_for(synced.database, BLOCKED)
        synced.database.rows(f"SELECT {how}(%s)", pid)
        other.rollback()

    helper = threading.Thread(target=strike)
    helper.start()
    with pytest.raises(WarehouseError, match=r"accounts: .*run the sync again"):
        synced.sync("accounts")
    helper.join()
    status, code, _ = synced.database.rows(STATE, "accounts")[0]
    assert (status, code) == ("failed", told)
    assert_completed_by_the_next(synced, "success", "failed")


@pytest.mark.parametrize(
    "point", ["begin.locked", "batch.staged", "batch.written", "batch.committed", "finish.written"]
)
def test_the_session_is_ended_between_statements(synced: Pipeline, point: str) -> None:
    def strike() -> None:
        found = synced.database.rows(
            f"SELECT pid FROM pg_stat_activity WHERE {OURS} AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        assert [synced.database.scalar("SELECT pg_terminate_backend(%s, 5000)", pid) for (pid,) in found] == [True]

    with at(point, strike), pytest.raises(DatabaseUnreachable, match=r"accounts: .*run the sync again"):
        synced.sync("accounts", full=True)
    assert synced.database.rows(STATE, "accounts")[0][:2] == ("failed", "DATABASE_UNREACHABLE")
    assert_completed_by_the_next(synced, "success", "failed")


def test_a_deadlock_is_tried_again(synced: Pipeline, other: Connection) -> None:
    with other.cursor() as cursor:
        cursor.execute("SET deadlock_timeout = '100s'")
    other.commit()
    helper = threading.Thread(target=_cross, args=(synced.database, other))

    def hold() -> None:
        with other.cursor() as cursor:
            cursor.execute("SELECT id FROM vantage_sync_history WHERE status = 'running' FOR UPDATE")
        helper.start()

    with at("batch.staged", hold) as reached:
        synced.sync("accounts", full=True)
    helper.join()
    assert reached.count("batch.staged") == reached.count("batch.committed") + 1
    assert_equal(synced)


def _cross(database: Database, other: Connection) -> None:
    """Ask for the rows that the sync has written once it waits for what we hold; it is the one to be turned away."""
    own = Database(database.url)
    wait_for(own, BLOCKED)
    own.close()
    with other.cursor() as cursor:
        cursor.execute("UPDATE investors SET notes = 'mine' WHERE external_id = '10001'")
    other.rollback()


def test_a_serialization_failure_is_tried_again(synced: Pipeline) -> None:
    database = synced.database
    name = database.scalar("SELECT current_database()")
    setting = "ALTER DATABASE {} SET default_transaction_isolation = 'repeatable read'"
    database.execute(sql.SQL(setting).format(sql.Identifier(name)).as_string(database._open()))

    def interfere() -> None:
        database.execute("UPDATE investors SET notes = 'mine' WHERE external_id = '10001'")

    with at("batch.staged", interfere) as reached:
        synced.sync("accounts", full=True)
    assert reached.count("batch.staged") == reached.count("batch.committed") + 1
    assert_equal(synced)
    assert database.scalar("SELECT notes FROM investors WHERE external_id = '10001'") == "mine"


def test_no_connection_is_left(synced: Pipeline) -> None:
    database = synced.database
    database.execute("CREATE ROLE crowded LOGIN CONNECTION LIMIT 0")
    try:
        crowded = Pipeline(synced.sandbox, Database(database.url.replace("//postgres@", "//crowded@")))
        with pytest.raises(DatabaseUnreachable, match=r"too many connections.*check DATABASE_URL"):
            crowded.sync("accounts")
    finally:
        database.execute("DROP ROLE crowded")
    assert_completed_by_the_next(synced, "success")


def test_a_second_sync_waits_in_line_or_is_turned_away(synced: Pipeline) -> None:
    first = synced.database.connect()
    locks.acquire(first, "accounts")
    with pytest.raises(SyncAlreadyRunning, match="accounts: another sync of it is running"):
        synced.sync("accounts", options=LoadOptions(lock_wait_seconds=0.3))
    ended: list[str] = []

    def second() -> None:
        synced.sync("accounts", options=LoadOptions(lock_wait_seconds=60))
        ended.append("second")

    waiting = threading.Thread(target=second)
    waiting.start()
    query = f"SELECT pid FROM pg_stat_activity WHERE {OURS} AND query LIKE '%%pg_try_advisory_lock%%' AND pid <> %s"
    own = Database(synced.database.url)
    wait_for(own, query.replace("%%", "%").replace("%s", str(first.get_backend_pid())))
    own.close()
    ended.append("first")
    locks.release(first, "accounts")
    waiting.join()
    first.close()
    assert ended == ["first", "second"]
    assert_equal(synced)


def test_a_migration_in_the_middle_of_a_sync(synced: Pipeline, tmp_path: Path) -> None:
    """It waits for the batch, and the next batch waits for it."""
    for file in (sql_dir() / "migrations").glob("*.sql"):
        (tmp_path / file.name).write_text(file.read_text())
    new = "ALTER TABLE investors ADD COLUMN added_meanwhile text NOT NULL DEFAULT 'by a migration';"
    (tmp_path / "20991231000000_meanwhile.sql").write_text(new)
    done: list[Any] = []
    migrating = threading.Thread(target=lambda: done.append(migrations.apply(synced.database.url, tmp_path)))

    def migrate() -> None:
        migrating.start()
        wait_for(
            own,
            "SELECT pid FROM pg_stat_activity WHERE query LIKE 'ALTER TABLE investors%' AND wait_event_type = 'Lock'",
        )

    own = Database(synced.database.url)
    with at("batch.written", migrate):
        synced.sync("accounts", full=True)
    migrating.join()
    own.close()
    assert done == [["20991231000000_meanwhile"]]
    assert_equal(synced)
    assert synced.database.scalar("SELECT count(*) FROM investors WHERE added_meanwhile = 'by a migration'") == 60


def test_a_row_that_the_database_refuses_keeps_no_other_out(synced: Pipeline) -> None:
    """A rule of someone's own: the record waits in quarantine with what the database said, the rest goes in."""
    synced.database.execute("ALTER TABLE investors ADD CONSTRAINT no_atlantis CHECK (country <> 'Atlantis')")
    accounts = synced.sandbox.vantage.records["accounts"]
    for account in (accounts[7], accounts[41]):
        account["country"] = "Atlantis"
    report = synced.sync("accounts", full=True)
    assert (report.fetched, report.counts.updated, report.quarantined) == (60, 58, 2)
    waiting = synced.database.rows(
        "SELECT record_key, code, message FROM vantage_quarantine WHERE resolved_at IS NULL ORDER BY 1"
    )
    assert [(key, code) for key, code, _ in waiting] == [
        (a["investor_id"], "REFUSED_BY_DATABASE") for a in (accounts[7], accounts[41])
    ]
    assert "no_atlantis" in waiting[0][2]
    synced.database.execute("ALTER TABLE investors DROP CONSTRAINT no_atlantis")
    synced.sync("accounts", full=True)
    assert_equal(synced)
    assert synced.database.scalar("SELECT count(*) FROM vantage_quarantine WHERE resolved_at IS NULL") == 0


def test_a_quarantined_record_that_the_source_no_longer_has_is_settled(synced: Pipeline) -> None:
    accounts = synced.sandbox.vantage.records["accounts"]
    accounts.append({"investor_name": "without a key"})
    synced.sync("accounts", full=True)
    accounts.pop()
    assert synced.database.scalar("SELECT count(*) FROM vantage_quarantine WHERE resolved_at IS NULL") == 1
    synced.sync("accounts")
    assert synced.database.scalar("SELECT count(*) FROM vantage_quarantine WHERE resolved_at IS NULL") == 1
    synced.sync("accounts", full=True)
    assert synced.database.rows("SELECT resolution FROM vantage_quarantine") == [("no longer in the source",)]
