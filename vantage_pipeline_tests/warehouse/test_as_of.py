"""Rows as of a time against snapshots that were taken at that time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vantage_pipeline import catalog
from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline.warehouse.as_of import history_begins, mapped_columns, rows_as_of
from vantage_pipeline.warehouse.load_report import LoadOptions
from vantage_pipeline_tests.database import Database
from vantage_pipeline_tests.pipeline import Pipeline

ON = LoadOptions(change_history=True, allow_deleting=True, allow_clearing=frozenset("*"))
KEYS = {"investments": "investor_id || ':' || deal_id"}
Rows = dict[str, str]


class Past:
    """Snapshots of some tables, each to be found again later."""

    def __init__(self, database: Database, *tables: str) -> None:
        self.database, self.tables = database, tables
        self.taken: list[tuple[datetime, dict[str, Rows]]] = []

    def rows(self, table: str) -> Rows:
        key = KEYS.get(table) or f'"{catalog.table(table).key}"'
        return dict(
            self.database.rows(
                f"SELECT {key}, (to_jsonb(t) - '{{id,created_at,updated_at,last_synced_at,deleted_at}}'::text[])::text"
                f' FROM "{table}" t WHERE deleted_at IS NULL AND {key} IS NOT NULL'
            )
        )

    def take(self) -> None:
        now = {table: self.rows(table) for table in self.tables}
        self.taken.append((self.database.scalar("SELECT clock_timestamp()"), now))

    def check(self) -> None:
        for at, then in self.taken:
            for table, rows in then.items():
                assert (
                    dict(self.database.rows("SELECT row_key, columns::text FROM vantage_as_of(%s, %s)", (table, at)))
                    == rows
                ), (table, at)


@pytest.fixture
def small(make_sandbox: Callable[..., Sandbox], database: Database) -> Pipeline:
    return Pipeline(make_sandbox(accounts=6, funds=2, cash_flows=12), database)


EDITS = st.tuples(
    st.sampled_from(["change", "clear", "remove", "bring back", "move", "derive", "nothing"]), st.integers(0, 5)
)


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(edits=st.lists(EDITS, min_size=3, max_size=8))
def test_any_series_of_edits_can_be_gone_back_through(small: Pipeline, edits: list[tuple[str, int]]) -> None:
    store = small.sandbox.vantage.records
    past = Past(small.database, "investors", "transactions", "investments")
    gone: list[dict[str, Any]] = []
    past.take()
    for number, (kind, which) in enumerate(edits):
        flows = store["cashflows"]
        if kind == "change":
            store["accounts"][which]["country"] = f"Country {number}"
            flows[which]["transaction_amount"] = Decimal(number) + Decimal("0.000000000001")
        elif kind == "clear":
            store["accounts"][which]["country"] = None
        elif kind == "remove" and len(flows) > 6:
            gone.append(flows.pop(which))
        elif kind == "bring back" and gone:
            flows.append(gone.pop())
        elif kind == "move":
            flows[which]["account_id"] = store["accounts"][number % 6]["investor_id"]
        for name in ("cashflows", "accounts", "funds"):  # children first: their links are filled in later
            small.sync(name, full=True, options=ON)
        past.take()
        if kind == "derive":
            small.sync("investments", options=ON)
            past.take()
    past.check()


def test_links_that_were_filled_in_and_repaired_are_as_they_were(pipeline: Pipeline) -> None:
    past = Past(pipeline.database, "invoice", "invoice_item", "seda_registration", "customer", "agent")
    for name in ("invoice_item", "invoice", "seda_registration", "customer", "agent", "user", "links"):
        pipeline.sync(
            f"bubble/{name}",
            full=True,
            options=ON,
            deferred=frozenset(catalog.BUBBLE_RESOURCES[i].name for i in range(8)),
        )
        past.take()
    registration = next(iter(pipeline.sandbox.bubble.records["seda_registration"]))
    pipeline.sandbox.bubble.remove("seda_registration", registration)
    pipeline.sync("bubble/seda_registration", full=True, options=ON)
    pipeline.sync("bubble/links", options=ON)
    past.take()
    past.check()
    operations = dict(pipeline.database.rows("SELECT operation, count(*) FROM vantage_change_history GROUP BY 1"))
    assert operations.keys() == {"created", "updated", "deleted"}


def test_a_row_that_was_removed_by_hand_and_came_back_is_known_by_its_history(pipeline: Pipeline) -> None:
    past = Past(pipeline.database, "investors")
    pipeline.sync("accounts", options=ON)
    past.take()
    pipeline.sandbox.vantage.change("accounts", 3, field="country", value="Elsewhere")
    pipeline.sync("accounts", options=ON)
    past.take()
    pipeline.database.rows("DELETE FROM investors WHERE external_id = '10001'")
    pipeline.sync("accounts", full=True, options=ON)
    past.take()
    (first, _), (second, _), _ = past.taken
    one = "SELECT columns->>'country' FROM vantage_as_of('investors', %s, '10001')"
    assert pipeline.database.rows(one, first) == [("United States",)]
    assert pipeline.database.rows(one, second) == [("Elsewhere",)]
    assert pipeline.database.rows(one, first - timedelta(hours=1)) == []


def test_nothing_is_kept_unless_it_is_wanted(pipeline: Pipeline) -> None:
    pipeline.sync("accounts")
    pipeline.sandbox.vantage.change("accounts", 3, field="country", value="Elsewhere")
    pipeline.sync("accounts", dry_run=True, options=LoadOptions(dry_run=True, change_history=True))
    pipeline.sync("accounts")
    assert pipeline.database.scalar("SELECT count(*) FROM vantage_change_history") == 0


def test_a_change_is_kept_with_its_run_and_nothing_but_what_changed(pipeline: Pipeline) -> None:
    pipeline.sync("accounts")
    pipeline.sandbox.vantage.change("accounts", 1, field="country", value="Elsewhere")
    pipeline.sync("accounts", options=ON)
    assert pipeline.database.rows(
        "SELECT table_name, row_key, run_id, operation, old - 'source_updated_at', new - 'source_updated_at'"
        " FROM vantage_change_history"
    ) == [("investors", "10001", "run-2", "updated", {"country": "United States"}, {"country": "Elsewhere"})]


def test_mapped_columns_come_exactly(pipeline: Pipeline) -> None:
    exact = Decimal("12345678901234567890.123456789")
    pipeline.sandbox.vantage.records["cashflows"][0]["transaction_amount"] = exact
    pipeline.sync("cashflows", options=ON)
    connection = pipeline.database.connect()
    now = pipeline.database.scalar("SELECT clock_timestamp()")
    columns = mapped_columns(connection, "transactions")
    assert history_begins(connection, "transactions") is not None
    (row,) = rows_as_of(connection, "transactions", now, columns, key="1000001")
    assert dict(zip(columns, row, strict=True))["amount"] == str(exact)
    assert "latest_nav" in mapped_columns(connection, "investments")
    connection.close()


def test_a_session_that_asks_for_it_keeps_what_is_changed_by_hand(pipeline: Pipeline) -> None:
    pipeline.sync("accounts")
    pipeline.database.rows("UPDATE investors SET country = 'unseen' WHERE external_id = '10001'")
    pipeline.database.rows("SET vantage_pipeline.change_history = 'on'")
    pipeline.database.rows("UPDATE investors SET country = 'by hand' WHERE external_id = '10001'")
    assert pipeline.database.rows("SELECT run_id, old, new FROM vantage_change_history") == [
        ("", {"country": "unseen"}, {"country": "by hand"})
    ]


def test_every_synced_table_can_keep_its_history(database: Database) -> None:
    kept = {table: database.scalar("SELECT vantage_key_of(%s)", (table,)) for table in KEYS}
    assert kept == {"investments": ["investor_id", "deal_id"]}
    for resource in catalog.RESOURCES:
        for table in (dataset.table for dataset in resource.datasets):
            assert database.scalar("SELECT vantage_key_of(%s)", (table.name,)) == [table.key]


def test_the_history_of_some_tables_only(small: Pipeline) -> None:
    small.sync("accounts", options=LoadOptions(change_history=("investors",)))
    small.sync("funds", options=LoadOptions(change_history=("investors", "transactions")))
    assert small.database.rows("SELECT DISTINCT table_name FROM vantage_change_history") == [("investors",)]
