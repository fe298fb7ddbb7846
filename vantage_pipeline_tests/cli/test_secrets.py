"""No secret leaves the process: not by the terminal, not by a log, an event, the metadata, the state or the history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from psycopg2 import sql

from vantage_pipeline.cli import operate
from vantage_pipeline.orchestration.alerting.watch import watch
from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse.embedded import EmbeddedServer
from vantage_pipeline_tests.database import Database

pytestmark = pytest.mark.timeout(900)
Run = Callable[..., Any]
Use = Callable[[Mapping[str, str]], Settings]
STORAGE, CHANNEL, HOOK = "recognisable-storage-1", "recognisable-channel-2", "recognisable-hook-3"
_SECRETS = ("VANTAGE_AUTH_TOKEN", "VANTAGE_CLIENT_ID", "BUBBLE_API_TOKEN")


def everything_in(database: Database) -> str:
    """Every row of every table as text."""
    tables = database.rows(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    statement = sql.SQL("SELECT string_agg(t::text, E'\\n') FROM {} t")
    told = []
    with database.connect() as connection, connection.cursor() as cursor:
        for schema, table in tables:
            cursor.execute(statement.format(sql.Identifier(schema, table)))
            told.append((cursor.fetchone() or ("",))[0] or "")
    connection.close()
    return "\n".join(told)


def everything_below(*folders: Path) -> str:
    """Every file that the project wrote, without the server's own data."""
    files = (path for folder in folders for path in folder.rglob("*") if "pg" not in path.parts and path.is_file())
    return "\n".join(f"{path}\n{path.read_bytes().decode(errors='replace')}" for path in files)


def test_a_whole_run_tells_no_secret(
    run_cli: Run,
    sandbox: Sandbox,
    embedded: Database,
    postgres: EmbeddedServer,
    use_environment: Use,
    capfd: pytest.CaptureFixture[str],
    home: Path,
    state_dir: Path,
) -> None:
    of_dagster = postgres.url("dagster").replace("postgres@", f"postgres:{STORAGE}@")
    assert STORAGE in of_dagster
    environment = {
        **sandbox.environment(),
        "ALERT_URLS": f"json://someone:{CHANNEL}@127.0.0.1:9/{HOOK}",
        "VANTAGE_PIPELINE_DAGSTER_DATABASE_URL": of_dagster,
    }
    next(iter(sandbox.bubble.records["agent"].values()))["Modified Date"] = "not a time"
    sandbox.bubble.changed("agent")
    told = []

    def run(*arguments: str, status: int = 0) -> str:
        done = run_cli(*arguments, env=environment, timeout=300)
        assert done.status == status, (arguments, done.err)
        told.extend([done.out, done.err])
        return str(done.out)

    assert '"vantage/accounts"' in run("sync", "--json")
    run("sync", "funds", "--dry-run")
    embedded.execute("UPDATE investors SET country = 'by hand' WHERE external_id = '10001'")
    assert "Repaired" in run("verify", "--repair", status=1)
    run("backfill", "payment", "--from", "2026-01-01", "--to", "2026-01-31")
    refused = {name: f"recognisable-{name.lower()}" for name in _SECRETS}
    for arguments in (["sync", "accounts", "bubble/agent"], ["doctor"]):
        done = run_cli(*arguments, env={**environment, **refused}, timeout=300)
        assert done.status == 1
        told += [done.out, done.err]

    settings = use_environment(environment)
    with closing(embedded.connect()) as connection:
        watched = watch(settings, connection)
        assert watched is not None
        assert watched.failing == ("json",)
    entry = embedded.scalar("SELECT min(id) FROM vantage_quarantine")
    assert "bubble_agent" in run("quarantine", "list")
    assert "not a time" in run("quarantine", "show", str(entry))
    run("status")
    run("history", "accounts")
    assert "vantage_pipeline_up" in run("metrics")
    assert operate.report(out=None, days=1) == 0
    told += capfd.readouterr()
    told.append(everything_below(home, state_dir))
    assert "</html>" in told[-1]

    password = "recognisable-password"
    address = f"postgresql://someone:{password}@127.0.0.1:9/nowhere"
    for arguments in (["sync", "funds"], ["doctor"]):
        done = run_cli(*arguments, env={**environment, "DATABASE_URL": address}, timeout=300)
        assert done.status in (1, 2)
        told += [done.out, done.err]

    events = Database(postgres.url("dagster"))
    told += [everything_in(embedded), everything_in(events)]
    events.close()
    assert "vantage__accounts" in told[-1], "the events are there to be searched"
    secrets = (*(environment[name] for name in _SECRETS), *refused.values(), password, STORAGE, CHANNEL, HOOK)
    for secret in secrets:
        for number, text in enumerate(told):
            assert secret not in text, (secret, number, text[max(0, text.find(secret) - 200) :][:400])


def test_a_secret_that_the_api_repeats_is_masked(run_cli: Run, sandbox: Sandbox, embedded: Database) -> None:
    token = sandbox.environment()["BUBBLE_API_TOKEN"]
    agent = next(iter(sandbox.bubble.records["agent"].values()))
    agent["Modified Date"] = f"not a time but {token}"
    sandbox.bubble.changed("agent")
    done = run_cli("sync", "bubble/agent", env=sandbox.environment(), timeout=300)
    state = embedded.rows("SELECT errors::text FROM vantage_sync_history WHERE resource = 'bubble_agent'")
    assert token not in done.out + done.err + str(state)


def test_a_secret_that_postgresql_repeats_is_masked(run_cli: Run, sandbox: Sandbox, embedded: Database) -> None:
    token = sandbox.environment()["BUBBLE_API_TOKEN"]
    embedded.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no % here', NEW.name USING ERRCODE = '23514'; END $$;"
        " CREATE TRIGGER refuse BEFORE INSERT ON agent FOR EACH ROW WHEN (NEW.name LIKE 'told %')"
        " EXECUTE FUNCTION refuse()"
    )
    agent = next(iter(sandbox.bubble.records["agent"].values()))
    agent["Name"] = f"told {token}"
    sandbox.bubble.changed("agent")
    done = run_cli("sync", "bubble/agent", "--full", "--json", env=sandbox.environment())
    (message,) = embedded.rows("SELECT message FROM vantage_quarantine WHERE code = 'REFUSED_BY_DATABASE'")
    assert message == ("PostgreSQL: no told *** here",)
    errors = embedded.rows(
        "SELECT errors::text FROM vantage_sync_state UNION ALL SELECT errors::text FROM vantage_sync_history"
    )
    assert token not in done.out + done.err + str(errors)
    checked = run_cli("verify", "bubble/agent", env=sandbox.environment())
    assert "REFUSED_BY_DATABASE" in str(errors)
    assert token not in checked.out + checked.err
