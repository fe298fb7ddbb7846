from __future__ import annotations

import json
from collections.abc import Callable

import dagster as dg
import pytest

from vantage_pipeline.definitions import defs
from vantage_pipeline.orchestration.alerting.instance import failed_checks
from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline_tests.conftest import Finished
from vantage_pipeline_tests.database import Database
from vantage_pipeline_tests.pipeline import Pipeline

Run = Callable[..., Finished]


def test_from_a_difference_to_its_repair(run_cli: Run, sandbox: Sandbox, embedded: Database) -> None:
    environment = sandbox.environment()
    Pipeline(sandbox, embedded).sync_all("vantage")
    Pipeline(sandbox, embedded).sync_all("bubble")
    embedded.rows("UPDATE transactions SET amount = 0.1 WHERE external_id = '1000001'")
    embedded.rows("UPDATE customer SET linked_agent = NULL, notes = 'mine' WHERE id = 1")

    code, out, _ = run_cli("verify", "cashflows", "bubble/customer", "--json", env=environment)
    told = json.loads(out)
    assert (code, told["equal"], told["repaired"]) == (1, False, [])
    assert {(m["table"], m["field"]) for v in told["resources"] for m in v["mismatches"]} == {
        ("transactions", "amount"), ("customer", "linked_agent"),
    }  # fmt: skip
    code, out, err = run_cli("verify", "--repair", env=environment)
    assert code == 0, err
    before, _, after = out.partition("After the repair")
    assert (before.count("│ NO"), after.count("│ NO"), after.count("│ yes")) == (3, 0, 16)
    assert "Sums that differ" in before
    assert embedded.scalar("SELECT notes FROM customer WHERE id = 1 AND linked_agent IS NOT NULL") == "mine"
    assert "verify --repair" in embedded.scalar(
        "SELECT triggered_by FROM vantage_sync_history WHERE resource = 'cashflows' ORDER BY id DESC LIMIT 1"
    )


@pytest.mark.usefixtures("embedded")
def test_the_warehouse_alone_needs_no_api(run_cli: Run, sandbox: Sandbox) -> None:
    code, out, err = run_cli("verify", "--warehouse-only", env=sandbox.environment())
    assert (code, sandbox.requests) == (0, []), err
    assert "Compared with no source" in out
    code, _, err = run_cli("verify", "--warehouse-only", "--repair", env=sandbox.environment())
    assert (code, "does not go with" in err) == (2, True)


def test_what_a_repair_mends_ends_the_alert_of_its_check(
    run_cli: Run, sandbox: Sandbox, embedded: Database, dagster_instance: dg.DagsterInstance
) -> None:
    environment = {k: v for k, v in sandbox.environment().items() if not k.startswith("BUBBLE_")}
    keys = defs.resolve_asset_graph().asset_check_keys

    def failing() -> set[str]:
        return {condition.resource for condition in failed_checks(dagster_instance, keys)}

    Pipeline(sandbox, embedded).sync_all("vantage")
    embedded.execute("UPDATE investors SET country = 'by hand' WHERE external_id = '10001'")
    embedded.execute("UPDATE deals SET name = 'by hand' WHERE external_id = '501'")
    embedded.execute("ALTER TABLE deals DROP CONSTRAINT deals_external_id_unique")
    assert run_cli("verify", env=environment).status == 1
    accounts, funds, order = (
        f"vantage/verification {name}" for name in ("accounts_match_source", "funds_match_source", "warehouse_in_order")
    )
    assert failing() == {accounts, funds, order}

    assert run_cli("verify", "accounts", "--repair", env=environment).status == 0
    assert failing() == {funds, order}, "what was not compared stays as it was"
    embedded.execute("ALTER TABLE deals ADD CONSTRAINT deals_external_id_unique UNIQUE (external_id)")
    assert run_cli("verify", "--warehouse-only", env=environment).status == 0
    assert failing() == {funds}
    assert run_cli("verify", "--repair", env=environment).status == 0
    assert failing() == set()
