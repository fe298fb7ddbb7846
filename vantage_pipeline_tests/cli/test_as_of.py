from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping

import pytest
from typer.testing import CliRunner

from vantage_pipeline.cli.app import app
from vantage_pipeline.errors import UsageError
from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse.load_report import LoadOptions
from vantage_pipeline_tests.database import Database
from vantage_pipeline_tests.pipeline import Pipeline

Use = Callable[[Mapping[str, str]], Settings]


def run(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["as-of", *arguments], catch_exceptions=False)
    return done.exit_code, done.stdout, done.stderr


def test_rows_as_they_were(sandbox: Sandbox, embedded: Database, use_environment: Use) -> None:
    use_environment(sandbox.environment())
    pipeline = Pipeline(sandbox, embedded)
    keeping = LoadOptions(change_history=True)
    pipeline.sync("accounts", options=keeping)
    then = embedded.scalar("SELECT clock_timestamp()").isoformat()
    sandbox.vantage.change("accounts", 2, field="country", value="Elsewhere")
    pipeline.sync("accounts", options=keeping)

    code, out, err = run("investors", then, "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert (code, err, len(rows)) == (0, "", 60)
    assert {row["country"] for row in rows[:2]} == {"United States"}
    code, out, _ = run("investors", then, "--key", "10001", "--json")
    assert [row["country"] for row in json.loads(out)] == ["United States"]
    code, out, _ = run("investors", "2999-01-01T00:00Z", "--key", "10001")
    assert "Elsewhere" in out
    code, out, err = run("investors", "2020-01-01", "--key", "10001", "--json")
    assert (code, json.loads(out)) == (1, [])
    assert "begins at" in err
    assert "has no entry" in run("deals", then)[2]
    for wrong in (("investor", then), ("investors", "yesterday"), ("investors", then, "--csv", "--json")):
        with pytest.raises(UsageError):
            run(*wrong)
