"""The process of a sync is killed at every crash point; what it left is whole, and the next sync completes it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from vantage_pipeline import catalog
from vantage_pipeline.sandbox import Fault, Sandbox
from vantage_pipeline.warehouse import crash_points, locks
from vantage_pipeline.warehouse.lost import close_dead
from vantage_pipeline_tests import doomed
from vantage_pipeline_tests.database import Database
from vantage_pipeline_tests.doomed import Doom
from vantage_pipeline_tests.equality import differing
from vantage_pipeline_tests.pipeline import Pipeline

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills processes by signal")

BATCHES: dict[str, Any] = {"page_size": 30, "batch_records": 20, "concurrency": 1}
HISTORY = "SELECT status FROM vantage_sync_history WHERE resource = %s ORDER BY id"
ROWS_AT = {
    "begin.locked": 0, "begin.written": 0, "begin.committed": 0, "batch.staged": 20, "batch.written": 20,
    "batch.committed": 40, "deletion.written": 60, "deletion.committed": 60, "finish.written": 60,
    "finish.committed": 60,
}  # fmt: skip
UNRECORDED = ("begin.locked", "begin.written")


def kill(sandbox: Sandbox, database: Database, resource: str, point: str, **options: Any) -> None:
    process = doomed.start(
        sandbox, database.url, resource, Doom(point, 2 if "batch" in point else 1), BATCHES, **options
    )
    process.join(timeout=120)
    assert process.exitcode == -signal.SIGKILL


def assert_unlocked(database: Database, resource: str) -> None:
    """The lock went with the connection, as soon as the server noticed its end."""
    connection = database.connect()
    locks.acquire(connection, resource, wait_seconds=20)
    locks.release(connection, resource)
    connection.close()


def dead(database: Database) -> list[str]:
    connection = database.connect()
    try:
        return close_dead(connection)
    finally:
        connection.close()


@pytest.mark.parametrize("point", ROWS_AT)
def test_whole_batches_and_nothing_else_stay(sandbox: Sandbox, database: Database, point: str) -> None:
    # pages of eleven: a batch of twenty holds one, so batches end between pages
    changed = {**BATCHES, "page_size": 11}
    process = doomed.start(sandbox, database.url, "accounts", Doom(point, 2 if "batch" in point else 1), changed)
    process.join(timeout=120)
    assert process.exitcode == -signal.SIGKILL
    assert_unlocked(database, "accounts")
    finished = point == "finish.committed"
    assert database.scalar("SELECT count(*) FROM investors") == ROWS_AT[point]
    state = database.rows("SELECT last_sync_status, last_sync_time FROM vantage_sync_state WHERE resource = 'accounts'")
    left = "success" if finished else "never_run" if point in UNRECORDED else "running"
    assert state[0][0] == left
    assert (state[0][1] is not None) == finished
    assert dead(database) == (["accounts"] if left == "running" else [])
    assert dead(database) == []

    pipeline = Pipeline(sandbox, database)
    report = pipeline.sync("accounts", full=True)
    assert report.counts.created == 60 - ROWS_AT[point]
    assert differing(database, catalog.table("investors"), sandbox.vantage.records["accounts"]) == set()
    before = [] if point in UNRECORDED else ["success" if finished else "failed"]
    assert [status for (status,) in database.rows(HISTORY, "accounts")] == [*before, "success"]


@pytest.mark.parametrize("point", ["derivation.written", "derivation.committed"])
def test_a_derivation_is_there_whole_or_not_at_all(pipeline: Pipeline, point: str) -> None:
    database = pipeline.database
    for resource in ("accounts", "funds", "cashflows"):
        pipeline.sync(resource)
    kill(pipeline.sandbox, database, "investments", point)
    assert_unlocked(database, "investments")
    there = database.scalar("SELECT count(*) FROM investments")
    assert (there > 0) == (point == "derivation.committed")
    assert dead(database) == ["investments"]
    pipeline.sync("investments")
    sums = "SELECT (SELECT sum(contributed) FROM investments) = sum(amount) FROM transactions"
    assert database.scalar(f"{sums} WHERE transaction_type = 'CONTRIBUTION'")
    assert [status for (status,) in database.rows(HISTORY, "investments")] == ["failed", "success"]


@pytest.mark.parametrize("point", ["failure.written", "failure.committed"])
def test_a_failure_is_recorded_once(sandbox: Sandbox, database: Database, point: str) -> None:
    sandbox.faults.add(Fault("401"))
    kill(sandbox, database, "accounts", point)
    assert_unlocked(database, "accounts")
    assert dead(database) == (["accounts"] if point == "failure.written" else [])
    errors = database.scalar("SELECT errors->0->>'code' FROM vantage_sync_state WHERE resource = 'accounts'")
    assert errors == ("RUN_LOST" if point == "failure.written" else "API_UNAUTHORIZED")
    Pipeline(sandbox, database).sync("accounts")
    assert [status for (status,) in database.rows(HISTORY, "accounts")] == ["failed", "success"]


def test_a_killed_dry_run_leaves_nothing(sandbox: Sandbox, database: Database) -> None:
    kill(sandbox, database, "accounts", "batch.committed", dry_run=True)
    assert_unlocked(database, "accounts")
    assert database.scalar("SELECT count(*) FROM investors") == 0
    assert database.scalar("SELECT count(*) FROM vantage_sync_history") == 0
    assert dead(database) == []


def test_each_point_is_met_by_one_of_these(sandbox: Sandbox) -> None:  # noqa: ARG001
    met = {*ROWS_AT, "derivation.written", "derivation.committed", "failure.written", "failure.committed"}
    assert met == set(crash_points.POINTS)


def test_two_processes_at_once(make_sandbox: Callable[..., Sandbox], database: Database) -> None:
    """Side by side, one of them is turned away; in line, both do their work. Either way the tables are right."""
    sandbox = make_sandbox()
    pair = [doomed.start(sandbox, database.url, "accounts", None, BATCHES) for _ in range(2)]
    for process in pair:
        process.join(timeout=120)
    assert {process.exitcode for process in pair} <= {0, doomed.FAILED}
    assert 0 in {process.exitcode for process in pair}
    in_line = [doomed.start(sandbox, database.url, "accounts", None, BATCHES, lock_wait_seconds=60) for _ in range(2)]
    for process in in_line:
        process.join(timeout=120)
    assert [process.exitcode for process in in_line] == [0, 0]
    assert differing(database, catalog.table("investors"), sandbox.vantage.records["accounts"]) == set()
    ended = [status for (status,) in database.rows(HISTORY, "accounts")]
    assert len(ended) == 4
    assert ended.count("failed") == [process.exitcode for process in pair].count(doomed.FAILED)
