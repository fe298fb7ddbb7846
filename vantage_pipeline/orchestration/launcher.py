"""Dagster's run launcher for ``dagster.yaml``: the default one, which also says whether a run's process is alive.

The default launcher cannot tell. A run whose process went down together with its code server, as when the machine
restarts, would be "started" for ever and hold its place in the queue, so that the runs after it never begin.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import psutil
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG

_HERE = ("localhost", "127.0.0.1", "::1")
_CLOCK = timedelta(seconds=2)
"""By how much the kernel's idea of when a process began may differ from the event's time."""


class WatchingRunLauncher(DefaultRunLauncher):
    """Launches runs on the code server, and lets Dagster's run monitoring fail those whose process is gone."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the run's process is alive. Of a run on another machine nothing is known, so it counts as alive."""
        started = self._process_of(run.run_id)
        if started is None or not _is_on_this_machine(run):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        pid, at = started
        if _is_alive(pid, at):
            return CheckRunHealthResult(WorkerStatus.RUNNING, run_worker_id=str(pid))
        message = f"its process (pid {pid}) is gone: killed, or lost with the machine; the next sync completes it"
        return CheckRunHealthResult(WorkerStatus.FAILED, message, run_worker_id=str(pid))

    def _process_of(self, run_id: str) -> tuple[int, datetime] | None:
        """The number of the process that last executed the run, and when it said so."""
        for entry in reversed(self._instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)):
            event = entry.get_dagster_event()
            pid = event.engine_event_data.metadata.get("pid")
            if pid is not None:
                return int(str(pid.value)), datetime.fromtimestamp(entry.timestamp, UTC)
        return None


def _is_on_this_machine(run: dg.DagsterRun) -> bool:
    """Whether the code server that launched the run is reached without a network."""
    told = json.loads(run.tags.get(GRPC_INFO_TAG, "{}"))
    return "socket" in told or told.get("host") in _HERE


def _is_alive(pid: int, at: datetime) -> bool:
    """Whether the process runs; another one that got its number later does not count, nor does one that has ended."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and (
            datetime.fromtimestamp(process.create_time(), UTC) <= at + _CLOCK
        )
    except psutil.NoSuchProcess:
        return False
