"""Whatever dies, the state soon tells the truth, each run has one history row, and the next sync completes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vantage_pipeline_tests.database import Database
from vantage_pipeline_tests.stack.stack import Held, Stack, eventually

pytestmark = pytest.mark.timeout(900)

# a failed run is tried again at once: what is running by then runs for the retry, which has a history row of its own
_RUNNING_WITHOUT_A_RUN = """
SELECT count(*) FROM vantage_sync_state s WHERE s.last_sync_status = 'running' AND NOT EXISTS (
    SELECT FROM vantage_sync_history h WHERE h.resource = s.resource AND h.status = 'running' AND h.run_id <> %s)"""


def _closed(database: Database, run_id: str) -> str:
    """What the run's one history row says once it is closed."""
    status: str = eventually(
        "the run's end in the history",
        lambda: database.scalar(
            "SELECT status FROM vantage_sync_history WHERE run_id = %s AND status <> 'running'", run_id
        ),
    )
    assert database.scalar("SELECT count(*) FROM vantage_sync_history WHERE run_id = %s", run_id) == 1
    assert database.scalar(_RUNNING_WITHOUT_A_RUN, run_id) == 0
    return status


def _completes(stack: Stack, database: Database) -> None:
    run_id = stack.client().submit_job_execution("vantage_full", asset_selection=[["vantage", "cashflows"]])
    assert _closed(database, run_id) == "success"
    assert database.scalar("SELECT count(*) FROM transactions WHERE deleted_at IS NULL") == 150


def _worker(stack: Stack) -> None:
    stack.kill_run_worker()


def _daemon(stack: Stack) -> None:
    stack.kill_daemon()
    stack.wait_ended()
    stack.start()


def _web_server(stack: Stack) -> None:
    stack.kill_web_server()
    stack.wait_ended()
    stack.start()


def _machine(stack: Stack) -> None:
    stack.kill_everything()
    stack.start()


@pytest.mark.parametrize("kill", [_worker, _daemon, _web_server, _machine])
def test_after_a_kill(stack: Stack, kill: Callable[[Stack], None]) -> None:
    held = Held(stack)
    kill(stack)
    held.let_go()
    database = stack.database()
    try:
        status = _closed(database, held.run_id)
        # a run may outlive the services that started it; one that was killed has failed
        assert status == "failed" or (kill in (_daemon, _web_server) and status in ("success", "cancelled"))
        _completes(stack, database)
    finally:
        database.close()
