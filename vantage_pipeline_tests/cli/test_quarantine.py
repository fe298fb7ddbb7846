"""``quarantine list``, ``show`` and ``replay``, as a person runs them after a fix of the database."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from vantage_pipeline.cli.replay import replay
from vantage_pipeline.errors import WarehouseError
from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline.warehouse import crash_points
from vantage_pipeline_tests.conftest import Finished
from vantage_pipeline_tests.database import Database
from vantage_pipeline_tests.pipeline import Pipeline, settings_for

Run = Callable[..., Finished]
REFUSING = "ALTER TABLE customer ADD CONSTRAINT own_rule CHECK (name NOT LIKE 'refused%')"
MENDED = "ALTER TABLE customer DROP CONSTRAINT own_rule"
OPEN = "SELECT id FROM vantage_quarantine WHERE resolved_at IS NULL ORDER BY id"


@pytest.fixture
def quarantined(sandbox: Sandbox, embedded: Database) -> list[int]:
    """Three customers that a constraint of the database refuses; gives their entries."""
    embedded.execute(REFUSING)
    for number, record in enumerate(list(sandbox.bubble.records["customer_profile"].values())[:3]):
        record["Name"] = f"refused {number}"
    sandbox.bubble.changed("customer_profile")
    Pipeline(sandbox, embedded).sync("bubble/customer", full=True)
    return [number for (number,) in embedded.rows(OPEN)]


def last_run(database: Database) -> tuple[str, str, str]:
    (row,) = database.rows(
        "SELECT status, triggered_by, options::text FROM vantage_sync_history WHERE resource = 'bubble_customer'"
        " ORDER BY id DESC LIMIT 1"
    )
    return row


def test_list_show_and_replay_of_one_of_some_and_of_all(
    run_cli: Run, sandbox: Sandbox, embedded: Database, quarantined: list[int]
) -> None:
    environment = {**sandbox.environment(), "VANTAGE_PIPELINE_CHANGE_HISTORY": "true"}
    first, second, third = quarantined
    code, out, _ = run_cli("quarantine", "list", "--json", env=environment)
    assert (code, sorted(row["id"] for row in json.loads(out))) == (0, quarantined)
    code, out, _ = run_cli("quarantine", "show", str(second), env=environment)
    assert (code, json.loads(out)["code"]) == (0, "REFUSED_BY_DATABASE")
    assert "refused " in out
    code, _, err = run_cli("quarantine", "show", "999", env=environment)
    assert (code, "no entry 999" in err) == (2, True)

    code, out, _ = run_cli("quarantine", "replay", str(first), "--json", env=environment)
    assert (code, [list(row.values()) for row in json.loads(out)]) == (1, [["bubble_customer", "customer", 0, 1]])
    embedded.execute(MENDED)
    assert run_cli("quarantine", "replay", str(first), env=environment).status == 0
    assert [number for (number,) in embedded.rows(OPEN)] == [second, third]
    status, who, options = last_run(embedded)
    assert (status, who.startswith("command line: "), json.loads(options)) == ("success", True, {"replay": [first]})
    assert embedded.scalar("SELECT count(*) FROM vantage_change_history WHERE table_name = 'customer'") == 1
    for wrong, why in ((str(first), "left the quarantine"), ("999", "no entry 999")):
        code, _, err = run_cli("quarantine", "replay", str(second), wrong, env=environment)
        assert (code, why in err) == (2, True)
    assert len(embedded.rows(OPEN)) == 2
    assert run_cli("quarantine", "replay", env=environment).status == 0
    assert embedded.rows(OPEN) == []
    assert json.loads(last_run(embedded)[2]) == {"replay": "all"}
    assert embedded.scalar("SELECT count(*) FROM customer WHERE name LIKE 'refused%'") == 3


def test_a_replay_of_some_leaves_the_others(
    run_cli: Run, sandbox: Sandbox, embedded: Database, quarantined: list[int]
) -> None:
    first, second, third = quarantined
    embedded.execute(MENDED)
    names = {row[0]: row[1] for row in embedded.rows("SELECT id, record->>'Name' FROM vantage_quarantine")}
    code, out, _ = run_cli("quarantine", "replay", str(first), str(third), "--json", env=sandbox.environment())
    assert (code, [list(row.values()) for row in json.loads(out)]) == (0, [["bubble_customer", "customer", 2, 0]])
    assert embedded.rows(OPEN) == [(second,)]
    there = {name for (name,) in embedded.rows("SELECT name FROM customer WHERE name LIKE 'refused%'")}
    assert there == {names[first], names[third]}
    assert json.loads(last_run(embedded)[2]) == {"replay": [first, third]}


@pytest.mark.usefixtures("quarantined")
def test_a_replay_that_fails_says_so_in_the_state_and_gives_the_lock_back(sandbox: Sandbox, embedded: Database) -> None:
    embedded.execute(MENDED)
    embedded.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '55000'; END $$;"
        " CREATE TRIGGER fail BEFORE INSERT ON customer FOR EACH ROW EXECUTE FUNCTION fail()"
    )
    settings = settings_for(sandbox)
    with pytest.raises(WarehouseError, match="not now"):
        replay(settings, [])
    assert last_run(embedded)[0] == "failed"
    assert "not now" in embedded.scalar(
        "SELECT errors::text FROM vantage_sync_state WHERE resource = 'bubble_customer'"
    )
    embedded.execute("DROP TRIGGER fail ON customer")
    assert replay(settings, []) == [("bubble_customer", "customer", 3, 0)]


@pytest.mark.usefixtures("quarantined")
def test_an_interrupted_replay_is_no_running_sync(sandbox: Sandbox, embedded: Database) -> None:
    embedded.execute(MENDED)

    def interrupt(point: str) -> None:
        if point == "batch.staged":
            raise KeyboardInterrupt

    settings = settings_for(sandbox)
    with crash_points.armed(interrupt), pytest.raises(KeyboardInterrupt):
        replay(settings, [])
    assert last_run(embedded)[0] == "cancelled"
    assert "CANCELLED" in embedded.scalar(
        "SELECT errors::text FROM vantage_sync_state WHERE resource = 'bubble_customer'"
    )
    assert len(embedded.rows(OPEN)) == 3
    assert replay(settings, []) == [("bubble_customer", "customer", 3, 0)]
