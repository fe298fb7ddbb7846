from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline_tests import command
from vantage_pipeline_tests.conftest import ROOT, Finished
from vantage_pipeline_tests.database import Database

Run = Callable[..., Finished]


def test_a_misspelt_resource_is_one_line_and_status_2(run_cli: Run, sandbox: Sandbox) -> None:
    code, _, err = run_cli("sync", "acounts", env=sandbox.environment())
    assert code == 2
    assert "did you mean 'accounts'" in err
    assert "Traceback" not in err


@pytest.mark.usefixtures("embedded")
def test_no_api_set(run_cli: Run) -> None:
    code, _, err = run_cli("sync")
    assert (code, "VANTAGE_API_BASE_URL" in err, "Traceback" in err) == (2, True, False)


def test_a_database_that_is_down(run_cli: Run, sandbox: Sandbox) -> None:
    url = "postgresql://someone:hidden-word@127.0.0.1:9/x"
    code, _, err = run_cli("sync", "accounts", env={"DATABASE_URL": url, **sandbox.environment()})
    assert code == 1
    assert "cannot be reached" in err
    assert "hidden-word" not in err
    assert "Traceback" not in err


def test_a_missing_migration(run_cli: Run, sandbox: Sandbox, empty_database: Database) -> None:
    code, _, err = run_cli("sync", "accounts", env={"DATABASE_URL": empty_database.url, **sandbox.environment()})
    assert code == 1
    assert "vantage-pipeline migrate up" in err


def test_the_demo_refuses_a_real_database(run_cli: Run) -> None:
    code, _, err = run_cli("demo", env={"DATABASE_URL": "postgresql://a@127.0.0.1/b"})
    assert code == 2
    assert "made-up data" in err


def test_bad_dates_are_told(run_cli: Run, sandbox: Sandbox) -> None:
    for first, last, word in (("2026-13-01", "2026-02-01", "expected a day"), ("2026-03-01", "2026-02-01", "is after")):
        code, _, err = run_cli("backfill", "invoice", "--from", first, "--to", last, env=sandbox.environment())
        assert code == 2
        assert word in err
        assert "Traceback" not in err


@pytest.mark.usefixtures("embedded")
def test_from_the_terminal_to_the_rows(run_cli: Run, sandbox: Sandbox, tmp_path: Path) -> None:
    environment = sandbox.environment()
    code, out, err = run_cli("sync", "--json", env=environment)
    assert code == 0, err
    done = {item["resource"]: item for item in json.loads(out)}
    assert done["vantage/accounts"]["created"] == 60
    assert done["bubble/invoice"]["created"] == 40
    assert all(not item["checks_failed"] for item in done.values())

    pipeline_changes = sandbox.vantage.change("accounts", 4, field="country", value="Elsewhere")
    code, out, _ = run_cli("sync", "accounts", "bubble/invoice", "--json", env=environment)
    again = {item["resource"]: item for item in json.loads(out)}
    assert (code, again["vantage/accounts"]["updated"]) == (0, len(pipeline_changes))
    assert again["bubble/invoice"]["fetched"] == 0

    code, out, err = run_cli(
        "backfill", "invoice", "--from", "2026-01-05", "--to", "2026-02-03", "--json", env=environment
    )
    assert code == 0, err
    assert json.loads(out)[0]["updated"] == 0

    sandbox.vantage.change("funds", 2, field="status", value="Changed")
    for name in ("differences.csv", "differences.json"):
        code, _, err = run_cli("sync", "funds", "--dry-run", "--diff", str(tmp_path / name), env=environment)
        assert code == 0, err
    listed = json.loads((tmp_path / "differences.json").read_text())
    assert [d["new"] for d in listed if d["column"] == "status"] == ["Changed", "Changed"]
    assert (tmp_path / "differences.csv").read_text().count("Changed") == 2

    code, out, _ = run_cli("status", "--json", env=environment)
    states = {item["resource"]: item for item in json.loads(out)}
    assert states["accounts"]["status"] == "success"
    assert states["accounts"]["health"] == "green"

    wrong = {**environment, "VANTAGE_AUTH_TOKEN": "Bearer hidden-word"}
    code, _, err = run_cli("sync", "accounts", "funds", env=wrong)
    assert code == 1
    assert "VANTAGE_AUTH_TOKEN" in err
    assert "hidden-word" not in err
    assert "Traceback" not in err
    code, out, _ = run_cli("doctor", env=environment)
    assert code == 0
    code, out, _ = run_cli("history", "accounts", "--json", env=environment)
    assert [item["status"] for item in json.loads(out)] == ["failed", "success", "success"]


@pytest.mark.usefixtures("embedded")
def test_invoices_and_days_are_tried_first(run_cli: Run, sandbox: Sandbox, tmp_path: Path) -> None:
    environment, file = sandbox.environment(), tmp_path / "differences.json"
    invoice = next(iter(sandbox.bubble.records["invoice"]))
    told = []
    for options in (["--dry-run", "--diff", str(file)], []):
        code, out, err = run_cli("sync-invoice", invoice, "--json", *options, env=environment)
        assert code == 0, err
        told.append({item["resource"]: (item["created"], item["updated"]) for item in json.loads(out)})
    assert told[0] == told[1]
    assert told[0]["bubble/invoice"] == (1, 0)
    listed = json.loads(file.read_text())
    assert invoice in {row["key"] for row in listed if row["kind"] == "created"}
    code, out, err = run_cli(
        "backfill", "invoice", "--from", "2026-01-05", "--to", "2026-12-31", "--limit", "2", "--dry-run", "--json",
        env=environment,
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)[0]["fetched"] == 2
    assert run_cli("sync-invoice", invoice, "--diff", str(file), env=environment)[0] == 2


@pytest.mark.usefixtures("embedded")
def test_killed_in_the_middle(run_cli: Run, sandbox: Sandbox) -> None:
    environment = sandbox.environment()
    assert run_cli("migrate", "up", env=environment)[0] == 0
    reached: list[float] = []
    sandbox.on_request.append(lambda path: reached.append(time.monotonic()) if "CashFlows" in path else None)
    env = {
        **os.environ,
        **environment,
        "VANTAGE_PIPELINE_PAGE_SIZE": "10", "VANTAGE_PIPELINE_BATCH_RECORDS": "10", "VANTAGE_PIPELINE_CONCURRENCY": "1",
    }  # fmt: skip
    sandbox.delay = 0.2
    process = subprocess.Popen([sys.executable, "-m", "vantage_pipeline", "sync", "cashflows"], cwd=ROOT, env=env)
    while len(reached) < 5:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    sandbox.delay = 0
    code, out, _ = run_cli("status", "--json", env=environment)
    state = next(item for item in json.loads(out) if item["resource"] == "cashflows")
    assert state["status"] == "running"
    code, out, err = run_cli("sync", "cashflows", "--json", env=environment)
    assert code == 0, err
    (done,) = json.loads(out)
    assert done["fetched"] == 150
    assert 0 < done["unchanged"] < 150
    assert done["unchanged"] % 10 == 0
    code, out, _ = run_cli("history", "cashflows", "--json", env=environment)
    assert [item["status"] for item in json.loads(out)] == ["success", "failed"]


def test_ctrl_c_is_a_cancel_and_ends_the_command(
    processes: Any, home: Path, tmp_path: Path, sandbox: Sandbox, embedded: Database
) -> None:
    arguments = (("sync", "accounts", "funds"), {**os.environ, **sandbox.environment()}, home)
    process = processes.Process(target=command.run, args=(*arguments, tmp_path / "out.txt", tmp_path / "err.txt"))

    def interrupt(path: str) -> None:
        if "Accounts" in path:
            os.kill(process.pid, signal.SIGINT)

    sandbox.on_request.append(interrupt)
    process.start()
    process.join(120)
    assert process.exitcode == 130
    assert embedded.rows("SELECT resource, status, errors->0->>'code' FROM vantage_sync_history") == [
        ("accounts", "cancelled", "CANCELLED")
    ]
    assert (tmp_path / "err.txt").read_text() == "interrupted: the next sync reads what this one did not\n"
