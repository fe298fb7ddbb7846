"""``demo``, ``dev`` and ``sandbox``."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import typer

from vantage_pipeline.errors import SandboxRefused
from vantage_pipeline.sandbox import FAULT_KINDS, FaultPlan, Sandbox
from vantage_pipeline.settings import load_settings, project_root

_KNOWN_WARNINGS = (
    ",".join(
        f"ignore:{what} is currently in beta"
        for what in (
            "Class `CodeReferencesMetadataValue`",
            "Class `LocalFileCodeReference`",
            "Function `with_source_code_references`",
            "Parameter `backfill_policy` of function `asset`",
        )
    )
    + ",ignore:Function `dev_command` is superseded"
)
"""What Dagster says of features that this project uses on purpose, in the form of ``PYTHONWARNINGS``."""
_SANDBOX_SETTINGS = {"VANTAGE_PIPELINE_SANDBOX": "1", "VANTAGE_PIPELINE_BUBBLE_REQUESTS_PER_MINUTE": "100000"}


def demo(*, cash_flows: int, as_json: bool) -> int:
    """Sync all of a sandbox into the embedded server; gives the exit status."""
    began = time.monotonic()
    with _pointed_at_sandbox(cash_flows=cash_flows):
        from vantage_pipeline.catalog import RESOURCES
        from vantage_pipeline.cli.running import run
        from vantage_pipeline.cli.tables import print_done
        from vantage_pipeline.orchestration.catchup import all_days
        from vantage_pipeline.orchestration.config import Mode, SyncConfig

        if not as_json:
            typer.echo("Serving made-up data of both APIs on loopback; syncing it into the embedded PostgreSQL ...")
        settings = load_settings()
        tags = all_days(settings, last=datetime.now(UTC).date()).tags()
        done = run(settings, RESOURCES, SyncConfig(mode=Mode.FULL), tags=tags)
        status = print_done(done, title="Sandbox to PostgreSQL", as_json=as_json)
    if not as_json:
        created = sum(item.metadata.get("created", 0) for item in done)
        updated = sum(item.metadata.get("updated", 0) for item in done)
        typer.echo(f"{created} rows created, {updated} updated, in {time.monotonic() - began:.1f} s.")
        typer.echo("Next: vantage-pipeline dev (or make dev) for the same in the Dagster UI.")
    return status


def dev(*, port: int) -> int:
    """Run Dagster's UI and daemon until interrupted; gives the exit status."""
    settings = load_settings()
    os.environ.setdefault("DAGSTER_HOME", str(project_root()))
    os.environ.setdefault("PYTHONWARNINGS", _KNOWN_WARNINGS)
    command = [sys.executable, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port), "-w", "workspace.yaml"]
    command += ["--log-level", "warning"]
    with contextlib.ExitStack() as stack:
        if not settings.configured_systems:
            stack.enter_context(_pointed_at_sandbox(cash_flows=20_000))
            typer.echo("No API is set: using the sandbox's made-up data.")
        typer.echo(f"Dagster UI: http://127.0.0.1:{port}")
        process = subprocess.Popen(command, cwd=project_root(), start_new_session=os.name != "nt")
        try:
            with _ended_by_signals(process):
                return process.wait()
        finally:
            _end(process)


def serve(*, port: int, cash_flows: int, chaos: float = 0.0, seed: int = 0) -> int:
    """Serve the sandbox until interrupted, a share `chaos` of its answers spoiled; gives the exit status."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with Sandbox.start(port=port, cash_flows=cash_flows) as sandbox:
        sandbox.faults.plan = FaultPlan(chaos, seed) if chaos else None
        typer.echo("# made-up data; put these into the environment of another terminal")
        for name, value in sandbox.environment().items():
            typer.echo(f"export {name}={value}")
        sys.stdout.flush()
        stop.wait()
        for kind, times in sorted(sandbox.faults.injected.items()):
            typer.echo(f"# {kind}: {times} ({FAULT_KINDS[kind].what})")
    return 0


@contextlib.contextmanager
def _pointed_at_sandbox(*, cash_flows: int) -> Iterator[Sandbox]:
    """A sandbox, with this process's settings pointing at it and at the embedded server's sandbox data."""
    settings = load_settings()
    if not settings.embedded:
        raise SandboxRefused(
            "DATABASE_URL is set, and the sandbox's made-up data goes only to the embedded database; "
            "unset it for the demo"
        )
    with Sandbox.start(cash_flows=cash_flows) as sandbox:
        os.environ.update(sandbox.environment())
        os.environ.update(_SANDBOX_SETTINGS)
        load_settings.cache_clear()
        try:
            yield sandbox
        finally:
            for name in (*sandbox.environment(), *_SANDBOX_SETTINGS):
                os.environ.pop(name, None)
            load_settings.cache_clear()


@contextlib.contextmanager
def _ended_by_signals(process: subprocess.Popen[bytes]) -> Iterator[None]:
    def end(*_: object) -> None:
        _end(process)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the whole group: Dagster's own children do not always follow it."""
    if os.name == "nt":
        process.terminate()
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=15)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
