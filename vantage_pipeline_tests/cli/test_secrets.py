"""No secret leaves the process: not by the terminal, not by a log, an event, the metadata, the state or the history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from psycopg2 import sql

from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline.warehouse.embedded import EmbeddedServer
from vantage_pipeline_tests.database import Database

pytestmark = pytest.mark.timeout(900)
Run = Callable[..., Any]
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


def test_a_whole_run_tells_no_secret(
    run_cli: Run, sandbox: Sandbox, embedded: Database, postgres: EmbeddedServer
) -> None:
    environment = sandbox.environment()
    told = []
    for arguments in (("sync", "--json"), ("sync", "funds", "--dry-run"), ("verify",)):
        done = run_cli(*arguments, env=environment, timeout=300)
        told += [done.out, done.err]
    assert '"vantage/accounts"' in told[0]

    refused = {name: f"recognisable-{name.lower()}" for name in _SECRETS}
    for arguments in (("sync", "accounts", "bubble/agent"), ("doctor",)):
        done = run_cli(*arguments, env={**environment, **refused}, timeout=300)
        assert done.status == 1
        told += [done.out, done.err]

    password = "recognisable-password"
    address = f"postgresql://someone:{password}@127.0.0.1:9/nowhere"
    for arguments in (("sync", "funds"), ("doctor",)):
        done = run_cli(*arguments, env={**environment, "DATABASE_URL": address}, timeout=300)
        assert done.status in (1, 2)
        told += [done.out, done.err]

    events = Database(postgres.url("dagster"))
    told += [everything_in(embedded), everything_in(events)]
    events.close()
    assert "vantage__accounts" in told[-1], "the events are there to be searched"
    for secret in (*(environment[name] for name in _SECRETS), *refused.values(), password):
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
