"""The run launcher says whether a run's process is alive; a run whose process is gone gives back its place."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Mapping

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._core.test_utils import create_run_for_test
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.monitoring import execute_run_monitoring_iteration

from vantage_pipeline.warehouse.embedded import EmbeddedServer
from vantage_pipeline_tests.database import Database

_HERE = {"host": "localhost", "socket": "/tmp/gone"}


@pytest.fixture
def started(dagster_instance: dg.DagsterInstance) -> Callable[..., dg.DagsterRun]:
    def start(pid: int | None, info: Mapping[str, object] = _HERE) -> dg.DagsterRun:
        run = create_run_for_test(dagster_instance, "vantage_full", status=dg.DagsterRunStatus.STARTED)
        dagster_instance.add_run_tags(run.run_id, {GRPC_INFO_TAG: json.dumps(dict(info))})
        if pid is not None:
            dagster_instance.report_engine_event("Started process for run.", run, EngineEventData.in_process(pid))
        found = dagster_instance.get_run_by_id(run.run_id)
        assert found is not None
        return found

    return start


def _ended() -> int:
    """The number of a process that has been."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_a_run_whose_process_is_gone_is_failed_by_the_monitoring(
    dagster_instance: dg.DagsterInstance, started: Callable[..., dg.DagsterRun]
) -> None:
    alive, gone = started(os.getpid()), started(_ended())
    with WorkspaceProcessContext(dagster_instance, EmptyWorkspaceTarget()) as workspace:
        list(execute_run_monitoring_iteration(workspace, logging.getLogger(__name__), None))

    def status(run: dg.DagsterRun) -> dg.DagsterRunStatus | None:
        found = dagster_instance.get_run_by_id(run.run_id)
        return found.status if found else None

    assert status(alive) is dg.DagsterRunStatus.STARTED
    assert status(gone) is dg.DagsterRunStatus.FAILURE
    last = dagster_instance.all_logs(gone.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)[0]
    assert "is gone: killed, or lost with the machine; the next sync completes it" in last.message


def test_what_is_not_known_counts_as_alive(
    dagster_instance: dg.DagsterInstance, started: Callable[..., dg.DagsterRun]
) -> None:
    for run in (started(None), started(_ended(), {"host": "code-server.example", "port": 4000})):
        assert dagster_instance.run_launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING


def test_a_process_that_took_over_the_number_is_not_the_run(
    dagster_instance: dg.DagsterInstance, started: Callable[..., dg.DagsterRun], postgres: EmbeddedServer
) -> None:
    run = started(os.getpid())
    events = Database(postgres.url("dagster"))
    events.execute("UPDATE event_logs SET event = jsonb_set(event::jsonb, '{timestamp}', '1000000000.5')::text")
    events.close()
    assert dagster_instance.run_launcher.check_run_worker_health(run).status is WorkerStatus.FAILED
