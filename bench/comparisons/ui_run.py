"""A run in Dagster's UI, from the click on Materialize to the run's end, in Debian's Chromium."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.runner import Bench, clean_environment

_PATIENCE = 180
_RUNS = "{runsOrError(limit:1){... on Runs{results{runId status startTime endTime}}}}"
_DONE = ("SUCCESS", "FAILURE", "CANCELED")


def lacking() -> str:
    """Why it cannot be measured here; empty if it can."""
    if chromium() is None:
        return "no Chromium is installed (Debian: apt-get install chromium)"
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed (make bench installs it)"
    return "" if hasattr(os, "killpg") else "only on systems with process groups"


def chromium() -> str | None:
    """The path of a Chromium that the system has."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def runs(bench: Bench, environment: Mapping[str, str]) -> Iterator[float]:
    """Seconds from click to end, once a round, of a sync of accounts that finds nothing changed."""
    from playwright.sync_api import sync_playwright

    with _dagster(bench, environment) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page()
        for _ in range(bench.rounds):
            last = _newest(address)
            page.goto(f"{address}/assets/vantage/accounts", timeout=_PATIENCE * 1000)
            button = page.get_by_role("button", name="Materialize").first
            button.wait_for(timeout=_PATIENCE * 1000)
            clicked = time.time()
            button.click()
            yield _ended(address, last.get("runId", "")) - clicked
        browser.close()


def _ended(address: str, before: str) -> float:
    """When the run after `before` ended, by the clock of this machine."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        run = _newest(address)
        if run.get("runId", "") not in ("", before) and run["status"] in _DONE:
            if run["status"] != "SUCCESS":
                raise RuntimeError(f"the run {run['runId']} ended with {run['status']}")
            return float(run["endTime"])
        time.sleep(0.1)
    raise RuntimeError(f"the run did not end within {_PATIENCE} s")


def _newest(address: str) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{address}/graphql", json.dumps({"query": _RUNS}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found = json.load(answer)["data"]["runsOrError"].get("results", [])
    return dict(found[0]) if found else {}


@contextlib.contextmanager
def _dagster(bench: Bench, environment: Mapping[str, str]) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = Path(bench.ground.folder()) / "dagster.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port), "-w", "workspace.yaml"],
            env={**clean_environment(), **bench.ground.environment(), **environment},
            cwd=bench.ground.home, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        _await(address, process, log)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            _newest(address)
            return
        time.sleep(0.2)
    raise RuntimeError(f"dagster dev did not start: {log.read_text()[-2000:]}")
