"""`vantage-pipeline dev` in processes of its own, on a sandbox and an embedded server that no other test uses."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import psutil
import requests
from dagster_graphql import DagsterGraphQLClient

from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse import engine, postmaster
from vantage_pipeline_tests.database import Database

T = TypeVar("T")
_POLL_SECONDS = 0.2
_WEB_SERVER, _DAEMON, _RUN = "dagster_webserver", "dagster._daemon", "multiprocessing.spawn"

_JOB = "vantage_full"
_ENDED = ("SUCCESS", "FAILURE", "CANCELED")
_WILL_RETRY, _RETRY = "dagster/will_retry", "dagster/auto_retry_run_id"
_RUNS = "{ runsOrError(limit: 30) { ... on Runs { results { pipelineName status tags { key value } } } } }"


def eventually(what: str, look: Callable[[], T | None], *, seconds: float = 300) -> T:
    """What `look` gives once it gives something; fails when it never does."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(_POLL_SECONDS)
    return found


class Held:
    """A run of the cash flows that is in the middle of its reading, and stays there until it is let go."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._reached, self._let_go = threading.Event(), threading.Event()
        self._pages = 0
        eventually("the end of all syncs and of their retries", stack.is_idle)
        stack.sandbox.on_request.append(self._hold)
        self.run_id = stack.client().submit_job_execution(_JOB, asset_selection=[["vantage", "cashflows"]])
        assert self._reached.wait(300)

    def let_go(self) -> None:
        self._stack.sandbox.on_request.clear()
        self._let_go.set()

    def _hold(self, path: str) -> None:
        if "CashFlow" in path:
            self._pages += 1
            if self._pages > 4:
                self._reached.set()
                self._let_go.wait(240)


class Stack:
    """Web server, daemon, code server and their database. `start` it; it may be started again after a kill."""

    def __init__(self, sandbox: Sandbox, folder: Path, root: Path, home: Path) -> None:
        self.sandbox = sandbox
        self._root, self._folder = root, folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._environment = {
            **sandbox.environment(),
            "VANTAGE_PIPELINE_SANDBOX": "1",
            "VANTAGE_PIPELINE_BUBBLE_REQUESTS_PER_MINUTE": "100000",
            "VANTAGE_PIPELINE_READ_TIMEOUT": "300",
            "VANTAGE_PIPELINE_PAGE_SIZE": "10",
            "VANTAGE_PIPELINE_BATCH_RECORDS": "10",
            "VANTAGE_PIPELINE_CONCURRENCY": "1",
            "VANTAGE_PIPELINE_STATE_DIR": str(folder),
            "VANTAGE_PIPELINE_HOME": str(home),
            "DAGSTER_HOME": str(home),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.log = folder / "dev.log"

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start everything, and wait until the UI knows the assets."""
        self._folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "vantage_pipeline", "dev", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **self._environment, **(environment or {})},
                cwd=self._root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        eventually("the UI", self._serves)

    def stop(self) -> int:
        """End it as a person would, by a signal to the command; gives its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=60)

    def client(self) -> DagsterGraphQLClient:
        """Does what clicks in the UI do."""
        return DagsterGraphQLClient("127.0.0.1", port_number=self.port)

    def is_idle(self) -> bool:
        """Whether no sync is under way or about to be tried again; the report that follows each is nobody's concern."""
        answer = requests.post(f"{self.address}/graphql", json={"query": _RUNS}, timeout=20).json()
        told = [
            {tag["key"]: tag["value"] for tag in run["tags"]} | run for run in answer["data"]["runsOrError"]["results"]
        ]
        return all(
            run["status"] in _ENDED and (run.get(_WILL_RETRY) != "true" or _RETRY in run or run["status"] != "FAILURE")
            for run in told
            if run["pipelineName"] == _JOB
        )

    def database(self) -> Database:
        settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            state_dir=self._folder,
            sandbox=True,
        )
        return Database(engine.database_url(settings))

    def kill_web_server(self) -> None:
        self._kill(_WEB_SERVER)

    def kill_daemon(self) -> None:
        self._kill(_DAEMON)

    def kill_run_worker(self) -> None:
        """Kill the process that executes a run: the code server spawns one for each."""
        self._kill(_RUN)

    def kill_everything(self) -> None:
        """What a machine that goes down leaves: nothing runs, and nobody said goodbye."""
        assert self._process is not None
        me = psutil.Process(self._process.pid)
        ours = [*self._processes(), me]
        server = postmaster.read(self._folder / "sandbox" / "pg")
        if server is not None:
            ours += [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        for process in ours:
            _kill(process)
        psutil.wait_procs(ours, timeout=30)
        self._process.wait()

    def wait_ended(self) -> None:
        """The command ends by itself when one of its services is gone."""
        assert self._process is not None
        self._process.wait(timeout=90)

    def _kill(self, mark: str) -> None:
        chosen = [process for process in self._processes() if mark in _command(process)]
        assert chosen, f"no process of {mark}: {[_command(p)[:80] for p in self._processes()]}"
        for process in chosen:
            _kill(process)
        psutil.wait_procs(chosen, timeout=30)

    def _processes(self) -> list[psutil.Process]:
        assert self._process is not None
        try:
            return psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def _serves(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text(errors="replace")[-3000:]
        try:
            answer = requests.post(
                f"{self.address}/graphql",
                json={"query": "{ assetsOrError { ... on AssetConnection { nodes { id } } } }"},
                timeout=20,
            )
            return bool(answer.json()["data"]["assetsOrError"]["nodes"])
        except (requests.RequestException, ValueError, KeyError, TypeError):
            return False


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()
