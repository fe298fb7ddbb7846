"""The Dagster instance of ``dagster.yaml``: in PostgreSQL, beside the data, without an address in its configuration."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import dagster as dg
import pytest

from vantage_pipeline.errors import SettingsError
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse import engine
from vantage_pipeline.warehouse.embedded import EmbeddedServer
from vantage_pipeline_tests.conftest import ROOT
from vantage_pipeline_tests.database import Database, drop

Use = Callable[[Mapping[str, str]], Settings]


@dg.asset
def made() -> int:
    return 1


def test_runs_and_events_are_kept_in_postgresql(dagster_instance: dg.DagsterInstance, postgres: EmbeddedServer) -> None:
    result = dg.materialize([made], instance=dagster_instance, resources={"io_manager": dg.mem_io_manager})
    dagster = Database(postgres.url("dagster"))
    assert dagster.scalar("SELECT status FROM runs WHERE run_id = %s", [result.run_id]) == "SUCCESS"
    assert dagster.scalar("SELECT count(*) FROM event_logs WHERE asset_key = %s", ['["made"]']) > 0
    dagster.close()
    assert dagster_instance.get_latest_materialization_event(made.key) is not None


def test_what_is_handed_on_by_command_line_names_no_database(dagster_instance: dg.DagsterInstance) -> None:
    handed_on = str(dagster_instance.get_ref().to_dict())
    assert "PipelineStorage" in handed_on
    assert "postgresql://" not in handed_on
    assert "postgresql+" not in handed_on


def test_the_instance_is_set_as_documented(dagster_instance: dg.DagsterInstance) -> None:
    assert dagster_instance.run_monitoring_enabled
    assert dagster_instance.run_retries_enabled
    assert not dagster_instance.run_retries_retry_on_asset_or_op_failure
    assert not dagster_instance.telemetry_enabled
    assert not dagster_instance.nux_enabled
    assert dagster_instance.global_op_concurrency_default_limit == 2


def test_beside_a_database_url_dagster_gets_a_database_of_its_own(
    database: Database, postgres: EmbeddedServer, make_settings: Callable[..., Settings]
) -> None:
    url = engine.dagster_url(make_settings(DATABASE_URL=database.url))
    try:
        assert url.split("?")[0] == database.url.split("?")[0] + "_dagster"
        engine.connect(url).close()
    finally:
        drop(postgres, database.scalar("SELECT current_database()") + "_dagster")


def test_where_that_may_not_be_made_it_says_what_to_set(
    database: Database, make_settings: Callable[..., Settings]
) -> None:
    database.execute("CREATE ROLE plain LOGIN")
    try:
        plain = database.url.replace("//postgres@", "//plain@")
        with pytest.raises(SettingsError, match="VANTAGE_PIPELINE_DAGSTER_DATABASE_URL"):
            engine.dagster_url(make_settings(DATABASE_URL=plain))
    finally:
        database.execute("DROP ROLE plain")


@pytest.mark.usefixtures("embedded")
def test_plain_dagster_commands_find_the_storage(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "run", "list"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Run:" not in done.stdout
