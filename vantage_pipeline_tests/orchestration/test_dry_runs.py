"""What a dry run of several resources foretells, and that nobody notices it."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable, Mapping
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from vantage_pipeline import catalog
from vantage_pipeline.cli import running
from vantage_pipeline.errors import DatabaseUnreachable, SyncAlreadyRunning, WarehouseError
from vantage_pipeline.orchestration.config import Mode, SyncConfig
from vantage_pipeline.orchestration.differences import first_of
from vantage_pipeline.sandbox import Fault, Sandbox
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse import locks
from vantage_pipeline.warehouse.load_report import LoadOptions, LoadReport
from vantage_pipeline.warehouse.rehearsal import Rehearsal
from vantage_pipeline_tests.database import Database
from vantage_pipeline_tests.pipeline import Pipeline

TABLES = sorted({table for resource in catalog.RESOURCES for table in resource.tables} | {
    "vantage_sync_state", "vantage_sync_history", "vantage_pending_links", "vantage_quarantine", "vantage_held_back",
    "vantage_link_repairs", "vantage_link_conflicts", "vantage_field_sightings",
})  # fmt: skip
STATE = "SELECT * FROM vantage_sync_state WHERE resource = 'accounts'"


def everything(database: Database) -> dict[str, Any]:
    return {name: database.rows(f'SELECT * FROM "{name}" t ORDER BY t::text') for name in TABLES}


def counts(reports: Mapping[str, LoadReport]) -> dict[str, Any]:
    return {
        name: (r.fetched, r.counts, r.by_table, r.related, r.quarantined, r.deleted, r.links_filled, r.held_back)
        for name, r in reports.items()
    }


def assert_foretold(pipeline: Pipeline, system: str, *, full: bool = True) -> dict[str, LoadReport]:
    before = everything(pipeline.database)
    foretold = pipeline.sync_all(system, full=full, dry_run=True)
    assert everything(pipeline.database) == before
    done = pipeline.sync_all(system, full=full)
    assert counts(foretold) == counts(done)
    return done


def edit_vantage(pipeline: Pipeline, chance: random.Random, number: int) -> None:
    """Edit parents and children together: a new account with its flows, a fund that goes, amounts, an unknown parent."""
    store = pipeline.sandbox.vantage
    records = store.records
    account = {**records["accounts"][0], "investor_id": str(90_000 + number), "investor_name": f"New {number}"}
    records["accounts"].append(account)
    flows = chance.sample(records["cashflows"], 5)
    for flow in flows[:3]:
        flow["account_id"] = account["investor_id"]
    flows[3]["fund_id"] = "no such fund"
    flows[4]["transaction_amount"] = "not a number"
    records["cashflows"].append({**flows[0], "cashflow_detailid": 2_000_000 + number})
    records["commitment"][chance.randrange(30)]["account_id"] = account["investor_id"]
    for name in ("accounts", "cashflows"):
        records[name].pop(chance.randrange(5, 40))
    for name, field in (("accounts", "country"), ("funds", "status"), ("cashflows", "comments")):
        store.change(name, 2, field=field, value=chance.choice(("Elsewhere", None)))
    for name in ("accounts", "cashflows", "commitment"):
        store.change(name, 1, field="record_type", value=f"edit {number}")


def test_a_dry_run_of_all_resources_foretells_what_the_sync_does(pipeline: Pipeline) -> None:
    done = assert_foretold(pipeline, "vantage", full=False)
    assert done["cashflows"].counts.dangling == 0
    assert done["investments"].counts.created > 0
    chance = random.Random(4)
    for number in range(3):
        edit_vantage(pipeline, chance, number)
        done = assert_foretold(pipeline, "vantage")
        assert done["cashflows"].counts.updated > 0
        assert done["investments"].counts.updated + done["investments"].counts.created > 0
        assert done["accounts"].deleted == 1


def test_a_dry_run_of_all_of_bubble_foretells_what_the_sync_does(pipeline: Pipeline) -> None:
    done = assert_foretold(pipeline, "bubble")
    assert done["links"].counts.updated > 0
    chance = random.Random(4)
    store = pipeline.sandbox.bubble
    records = store.records
    for number in range(2):
        agent = {**next(iter(records["agent"].values())), "_id": f"17{number}x17"}
        store.put("agent", agent)
        for invoice in chance.sample(list(records["invoice"].values()), 4):
            plain = {name: value for name, value in invoice.items() if name != "Linked SEDA registration"}
            store.put("invoice", {**plain, "Linked Agent": agent["_id"]})
        store.put("invoice", {**chance.choice(list(records["invoice"].values())), "Linked Customer": "171x404"})
        store.put("invoice_item", {**chance.choice(list(records["invoice_item"].values())), "Linked Invoice": None})
        store.remove("payment", chance.choice(list(records["payment"])))
        done = assert_foretold(pipeline, "bubble")
        assert done["invoice"].counts.updated >= 4


def test_a_failure_leaves_what_a_dry_run_foretold_before_it(pipeline: Pipeline) -> None:
    def broken(cursor: Any) -> Any:
        cursor.execute("SELECT * FROM no_such_table")

    with closing(Rehearsal()) as rehearsal:
        pipeline.sync("accounts", dry_run=True, rehearsal=rehearsal)
        pipeline.sync("funds", dry_run=True, rehearsal=rehearsal)
        assert pipeline.load is not None
        pipeline.load.connection.cursor().execute("SAVEPOINT resource")
        with pytest.raises(WarehouseError):
            pipeline.load.run_sql(broken)
        with pytest.raises(Exception, match="no_such_table"):
            broken(pipeline.load.connection.cursor())
        pipeline.load.fail([])
        dry = pipeline.sync("cashflows", dry_run=True, rehearsal=rehearsal)
        assert (dry.counts.created, dry.counts.dangling) == (150, 0)


def test_a_dry_run_that_lost_its_connection_foretells_nothing_more(pipeline: Pipeline) -> None:
    with closing(Rehearsal()) as rehearsal:
        pipeline.sync("accounts", dry_run=True, rehearsal=rehearsal)
        assert pipeline.load is not None
        pid = pipeline.load.connection.info.backend_pid
        pipeline.database.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
        with pytest.raises(DatabaseUnreachable):
            pipeline.sync("funds", dry_run=True, rehearsal=rehearsal)
        with pytest.raises(DatabaseUnreachable, match="start the dry run again"):
            pipeline.sync("funds", dry_run=True, rehearsal=rehearsal)
    assert pipeline.sync("funds").counts.created == 7


@pytest.mark.parametrize("before", [False, True])
def test_a_sync_that_meets_a_dry_run_is_turned_away_and_no_more(pipeline: Pipeline, before: bool) -> None:
    if before:
        pipeline.sync("accounts")
    stood = pipeline.database.rows(STATE)
    with closing(Rehearsal()) as rehearsal:
        pipeline.sync("accounts", dry_run=True, rehearsal=rehearsal)
        with pytest.raises(SyncAlreadyRunning):
            pipeline.sync("accounts")
    told = pipeline.database.rows(
        "SELECT status, errors->0->>'code' FROM vantage_sync_history WHERE run_id = %s", pipeline.run_id
    )
    assert told == [("failed", "SYNC_ALREADY_RUNNING")]
    if before:
        assert pipeline.database.rows(STATE) == stood
        assert pipeline.database.scalar("SELECT count(*) FROM sync_conditions WHERE resource = 'accounts'") == 0
    else:
        assert pipeline.database.scalar(
            "SELECT last_sync_status FROM vantage_sync_state WHERE resource = 'accounts'"
        ) == ("never_run")
    assert pipeline.sync("accounts", full=True).fetched == 60


def test_a_sync_that_waits_for_rows_of_a_dry_run_ends_it(pipeline: Pipeline) -> None:
    pipeline.sync("cashflows")
    with closing(Rehearsal()) as rehearsal:
        assert pipeline.sync("accounts", dry_run=True, rehearsal=rehearsal).links_filled == 150
        for record in pipeline.sandbox.vantage.records["cashflows"][:5]:
            record["comments"] = "other"
        impatient = LoadOptions(table_lock_seconds=0.1)
        assert pipeline.sync("cashflows", full=True, options=impatient).counts.updated == 5
        with pytest.raises(DatabaseUnreachable):
            pipeline.sync("funds", dry_run=True, rehearsal=rehearsal)


def in_dagster(instance: dg.DagsterInstance, names: list[str], **config: Any) -> dg.ExecuteInProcessResult:
    from vantage_pipeline.definitions import defs

    keys = [dg.AssetKey(catalog.find(name).asset.split("/")) for name in names]
    ops = {key.to_python_identifier(): {"config": config} for key in keys}
    return defs.resolve_job_def("vantage_incremental").execute_in_process(
        instance=instance, asset_selection=keys, raise_on_error=False, run_config={"ops": ops}
    )


@pytest.mark.parametrize("failing", [False, True])
def test_a_run_of_dagster_gives_back_all_that_its_dry_runs_held(
    dagster_instance: dg.DagsterInstance,
    embedded: Database,
    sandbox: Sandbox,
    use_environment: Callable[[Mapping[str, str]], Settings],
    failing: bool,
) -> None:
    use_environment({**sandbox.environment(), "VANTAGE_PIPELINE_MAX_ATTEMPTS": "1"})
    if failing:
        sandbox.faults.add(Fault("500", match="/api/CashFlows", times=50))
    result = in_dagster(dagster_instance, ["accounts", "funds", "cashflows"], dry_run=True)
    assert result.success is not failing
    watcher = embedded.connect()
    assert [name for name in ("accounts", "funds", "cashflows") if locks.is_held(watcher, name)] == []
    watcher.close()
    assert embedded.scalar("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%%'") == 0
    assert embedded.scalar("SELECT count(*) FROM investors") == 0
    sandbox.faults.planned.clear()
    assert in_dagster(dagster_instance, ["accounts"]).success


def test_a_sync_in_the_run_of_a_dry_run_begins_without_it(
    dagster_instance: dg.DagsterInstance,
    embedded: Database,
    sandbox: Sandbox,
    use_environment: Callable[[Mapping[str, str]], Settings],
) -> None:
    use_environment({**sandbox.environment(), "VANTAGE_PIPELINE_TABLE_LOCK_SECONDS": "60"})
    assert in_dagster(dagster_instance, ["cashflows"]).success
    keys = [dg.AssetKey(["vantage", name]) for name in ("accounts", "cashflows")]
    for record in sandbox.vantage.records["cashflows"][:5]:
        record["comments"] = "other"
    still_there: list[int] = []

    def look(path: str) -> None:
        if "CashFlows" in path:
            dry_runs = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'vantage-pipeline dry run'"
            still_there.append(embedded.scalar(dry_runs))

    sandbox.on_request.append(look)
    from vantage_pipeline.definitions import defs

    result = defs.resolve_job_def("vantage_full").execute_in_process(
        instance=dagster_instance,
        asset_selection=keys,
        raise_on_error=False,
        run_config={"ops": {"vantage__accounts": {"config": {"mode": "FULL", "dry_run": True}}}},
    )
    assert result.success
    assert still_there == [0]
    assert embedded.scalar("SELECT count(*) FROM investors") == 0
    assert embedded.scalar("SELECT count(*) FROM transactions WHERE notes = 'other'") == 5


def test_on_the_command_line_too_a_failure_hides_nothing_from_the_rest(
    embedded: Database, sandbox: Sandbox, use_environment: Callable[[Mapping[str, str]], Settings]
) -> None:
    settings = use_environment({**sandbox.environment(), "VANTAGE_PIPELINE_MAX_ATTEMPTS": "1"})
    sandbox.faults.add(Fault("500", match="/api/Funds", times=50))
    names = [catalog.find(name) for name in ("accounts", "funds", "vantage/investors")]
    told = [
        {item.resource: (item.status, *(item.metadata.get(n) for n in ("created", "links_pending"))) for item in done}
        for done in (
            running.run(settings, names, SyncConfig(mode=Mode.FULL, dry_run=True)),
            running.run(settings, names, SyncConfig(mode=Mode.FULL)),
        )
    ]
    assert told[0] == told[1]
    assert told[0]["vantage/funds"][0] == "failed"
    assert embedded.scalar("SELECT count(*) FROM account_contacts WHERE investor_id IS NULL") == 0


def kinds(report: LoadReport) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, list[tuple[Any, ...]]] = {}
    for d in report.differences:
        found.setdefault(d.kind.value, []).append((d.table, d.key, d.column, d.old, d.new))
    return found


def test_each_kind_of_difference_is_told(pipeline: Pipeline) -> None:
    pipeline.sync_all("vantage")
    records = pipeline.sandbox.vantage.records
    gone = records["accounts"].pop(5)["investor_id"]
    pipeline.sync("accounts", full=True)
    records["accounts"].insert(5, {**records["accounts"][5], "investor_id": gone})
    unknown = records["cashflows"][0] = {**records["cashflows"][0], "account_id": "77777"}
    pipeline.sync("cashflows", full=True)
    records["accounts"].append({**records["accounts"][0], "investor_id": "77777"})
    records["accounts"][1] = {**records["accounts"][1], "country": None, "investor_name": "Other"}
    removed = records["accounts"].pop(7)["investor_id"]
    records["accounts"][9] = {**records["accounts"][9], "investor_name": None}
    refused = records["accounts"][9]["investor_id"]
    records["cashflows"][3] = {**records["cashflows"][3], "fund_id": "66666"}
    told = {name: kinds(report) for name, report in pipeline.sync_all("vantage", dry_run=True).items()}
    accounts = told["accounts"]
    assert {key for _, key, *_ in accounts["created"]} == {"77777"}
    key = records["accounts"][1]["investor_id"]
    assert ("investors", key, "country", "United States", None) in accounts["cleared"]
    assert ("investors", key, "name", "Example Holder 0002", "Other") in accounts["updated"]
    assert [row[:3] for row in accounts["restored"]] == [("investors", gone, "deleted_at")]
    assert accounts["deleted"] == [("investors", removed, "deleted_at", None, None)]
    assert [row[:3] for row in accounts["rejected"]] == [("investors", refused, "investor_name")]
    flow = str(unknown["cashflow_detailid"])
    assert accounts["linked"] == [("transactions", flow, "investor_id", None, "77777")]
    (pending,) = told["cashflows"]["pending"]
    assert pending[2:] == ("deal_id", None, "66666")
    positions = told["investments"]
    assert f"77777:{unknown['fund_id']}" in {row[1] for row in positions["created"]}
    assert positions["updated"]


def test_values_cleared_are_counted_and_repairs_told(pipeline: Pipeline) -> None:
    pipeline.sync_all("vantage")
    pipeline.sandbox.vantage.change("accounts", 4, field="country", value=None)
    dry = pipeline.sync("accounts", full=True, dry_run=True)
    assert (dry.cleared, len(kinds(dry)["cleared"])) == (4, 4)
    pipeline.sync("accounts", full=True)
    assert pipeline.database.scalar("SELECT count(*) FROM investors WHERE country IS NULL") == 4
    told = pipeline.sync_all("bubble", dry_run=True)["links"]
    assert {row[0] for row in kinds(told)["updated"]} >= {"invoice_item", "seda_registration"}


def test_the_first_differences_are_of_each_kind() -> None:
    told = first_of(["created 1", "created 2", "created 3", "deleted 1"], 3, kind=lambda text: text.split()[0])
    assert told == ["created 1", "created 2", "deleted 1"]


def test_a_limit_of_differences_hides_no_kind(pipeline: Pipeline) -> None:
    pipeline.sync("accounts")
    for number in range(5):
        account = {**pipeline.sandbox.vantage.records["accounts"][0], "investor_id": f"new {number}"}
        pipeline.sandbox.vantage.records["accounts"].append(account)
    pipeline.sandbox.vantage.change("accounts", 8, field="country", value="Elsewhere")
    few = LoadOptions(dry_run=True, differences_kept=3)
    told = kinds(pipeline.sync("accounts", full=True, dry_run=True, options=few))
    assert (len(told["created"]), len(told["updated"])) == (3, 3)


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_a_file_of_differences_is_one_run_s(
    dagster_instance: dg.DagsterInstance,
    sandbox: Sandbox,
    use_environment: Callable[[Mapping[str, str]], Settings],
    tmp_path: Path,
    suffix: str,
) -> None:
    use_environment(sandbox.environment())
    file = tmp_path / f"differences.{suffix}"
    sandbox.vantage.records["funds"][0]["fund_size"] = Decimal("12345678901234567890.123456789")
    for _ in range(2):
        assert in_dagster(dagster_instance, ["accounts", "funds"], dry_run=True, diff_file=str(file)).success
        text = file.read_text()
        rows = json.loads(text) if suffix == "json" else list(csv.DictReader(text.splitlines()))
        assert {row["resource"] for row in rows} == {"vantage/accounts", "vantage/funds"}
        assert [row["key"] for row in rows if row["table"] == "deals" and row["column"] == "name"] == [
            fund["fund_id"] for fund in sandbox.vantage.records["funds"]
        ]
        assert {row["kind"] for row in rows} == {"created"}
        sizes = [row["new"] for row in rows if row["column"] == "fund_size"]
        assert sizes[0] == "12345678901234567890.123456789"
        assert [Decimal(str(size)) for size in sizes] == [f["fund_size"] for f in sandbox.vantage.records["funds"]]
    wrong = in_dagster(dagster_instance, ["accounts"], dry_run=True, diff_file=str(tmp_path / "differences.txt"))
    assert "expected a name that ends in .csv or .json" in str(wrong.get_step_failure_events()[0])


def test_in_dagster_a_dry_run_is_an_observation(
    dagster_instance: dg.DagsterInstance, sandbox: Sandbox, use_environment: Callable[[Mapping[str, str]], Settings]
) -> None:
    use_environment(sandbox.environment())
    names = ["accounts", "funds", "cashflows", "commitments", "valuations", "investments"]
    result = in_dagster(dagster_instance, names, dry_run=True)
    assert result.success
    told = {
        str(
            event.asset_key and event.asset_key.to_user_string()
        ): event.asset_observation_data.asset_observation.metadata
        for event in result.filter_events(lambda e: e.event_type is dg.DagsterEventType.ASSET_OBSERVATION)
    }
    assert [told[catalog.find(name).asset]["created"].value for name in names[:3]] == [60, 7, 150]
    assert told["vantage/investments"]["created"].value != 0
    assert isinstance(told["vantage/accounts"]["first_differences"], dg.TableMetadataValue)
    checked = result.filter_events(lambda e: e.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    assert {event.asset_check_evaluation_data.check_name for event in checked} == {"healthy"}
    accounts = dg.AssetKey(["vantage", "accounts"])
    assert dagster_instance.get_latest_materialization_event(accounts) is None
    assert in_dagster(dagster_instance, ["accounts"]).success
    assert dagster_instance.get_latest_materialization_event(accounts) is not None
