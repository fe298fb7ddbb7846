"""What is seen of a sync while it runs: on the terminal, and in the log of its run."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import dagster as dg
import pytest
from rich.console import Console

from vantage_pipeline.cli.progress import live_progress
from vantage_pipeline.orchestration import progress
from vantage_pipeline.orchestration.progress import Step, Teller
from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline.settings import Settings

STEP = Step("vantage/cashflows", "transactions", 12, 6_000, 13, 138_000, 4.0)


def test_the_line_of_a_resource_on_the_terminal() -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=160)
    with live_progress(console):
        progress.tell(STEP)
        progress.tell(Step("bubble/invoice", "invoice", 1, 100, 1, None, 0.0))
    text = shown.getvalue()
    for word in ("vantage/cashflows (transactions)", "12 pages", "6000/138000", "1500/s", "0:01:28 left", "100/?"):
        assert word in text


def test_where_there_is_no_terminal_nothing_is_shown() -> None:
    shown = io.StringIO()
    with live_progress(Console(file=shown, force_terminal=False)):
        progress.tell(STEP)
    assert shown.getvalue() == ""


def test_the_line_of_a_log() -> None:
    assert STEP.text() == (
        "vantage/cashflows (transactions): 6000 of 138000 records, 12 pages, 13 requests, 1500 records/s, "
        "about 0:01:28 left"
    )
    unknown = Step("bubble/invoice", "invoice", 1, 0, 1, None, 0.0)
    assert unknown.text() == "bubble/invoice (invoice): 0 records, 1 pages, 1 requests"


def test_a_table_s_rate_is_its_own() -> None:
    steps: list[Step] = []
    with progress.listening(steps.append):
        teller = Teller("vantage/investors", lambda: 3, {"contacts": 5}.get)
        teller("contacts", 1, 5)
        teller("account_contacts", 1, 2)
    assert [(s.table, s.records, s.expected, s.requests) for s in steps] == [
        ("contacts", 5, 5, 3),
        ("account_contacts", 2, None, 3),
    ]
    assert steps[0].left is None or not steps[0].left


@pytest.mark.usefixtures("embedded")
def test_the_log_of_a_run_tells_how_far_it_is(
    dagster_instance: dg.DagsterInstance,
    sandbox: Sandbox,
    use_environment: Callable[[Mapping[str, str]], Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from vantage_pipeline.definitions import defs

    use_environment({**sandbox.environment(), "VANTAGE_PIPELINE_PAGE_SIZE": "31"})
    monkeypatch.setattr(progress, "LOG_SECONDS", 0)
    keys = [dg.AssetKey(["vantage", "accounts"]), dg.AssetKey(["bubble", "agent"])]
    result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=dagster_instance, asset_selection=keys
    )
    assert result.success
    told = [entry.user_message for entry in dagster_instance.all_logs(result.run_id)]
    assert any(line.startswith("vantage/accounts (investors): 30 of 60 records, 1 pages") for line in told)
    assert any(line.startswith("vantage/accounts (investors): 60 of 60 records") for line in told)
    agents = len(sandbox.bubble.records["agent"])
    assert any(line.startswith(f"bubble/agent (agent): {agents} of {agents} records") for line in told)
