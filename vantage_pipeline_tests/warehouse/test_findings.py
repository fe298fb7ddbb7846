"""What is not as it should be in the warehouse itself, each put there by hand."""

from __future__ import annotations

import pytest

from vantage_pipeline import catalog
from vantage_pipeline.warehouse.findings import look
from vantage_pipeline_tests.database import Database
from vantage_pipeline_tests.pipeline import Pipeline


def wrong(database: Database) -> set[tuple[str, str, int]]:
    connection = database.connect()
    try:
        return {(f.kind, f.where, f.count) for f in look(connection) if f.wrong}
    finally:
        connection.close()


def test_a_new_database_is_as_it_should_be(database: Database) -> None:
    assert wrong(database) == set()


@pytest.mark.parametrize(
    "done, found",
    [
        ("ALTER TABLE deals DROP CONSTRAINT deals_external_id_unique",
         {("key without a unique constraint", "deals.external_id", 1),
          ("made by a migration and no longer there", "constraint deals.deals_external_id_unique", 1)}),
        ("ALTER TABLE deals DROP CONSTRAINT deals_external_id_unique;"
         "INSERT INTO deals (external_id, name) VALUES ('1', 'a'), ('1', 'b'), ('2', 'c')",
         {("key without a unique constraint", "deals.external_id", 1), ("key occurs more than once", "deals.external_id", 1),
          ("made by a migration and no longer there", "constraint deals.deals_external_id_unique", 1)}),
        ("ALTER TABLE transactions DROP CONSTRAINT transactions_deal_id_fkey;"
         "INSERT INTO transactions (external_id, deal_id) VALUES ('1', 99), ('2', 98), ('3', NULL)",
         {("link without a foreign key", "transactions.deal_id", 1), ("orphan", "transactions.deal_id", 2),
          ("made by a migration and no longer there", "constraint transactions.transactions_deal_id_fkey", 1)}),
        ("ALTER TABLE invoice DROP CONSTRAINT invoice_linked_customer_fkey;"
         "INSERT INTO invoice (bubble_id, linked_customer) VALUES ('1x1', '9x9');"
         "ALTER TABLE invoice ADD CONSTRAINT invoice_linked_customer_fkey FOREIGN KEY (linked_customer)"
         " REFERENCES customer (customer_id) NOT VALID",
         {("foreign key broken by rows", "invoice.invoice_linked_customer_fkey", 1), ("orphan", "invoice.linked_customer", 1)}),
        ("DROP INDEX idx_transactions_transaction_date; DROP TRIGGER trigger_vantage_sync_state_updated_at ON vantage_sync_state",
         {("made by a migration and no longer there", "index idx_transactions_transaction_date", 1),
          ("made by a migration and no longer there", "trigger vantage_sync_state.trigger_vantage_sync_state_updated_at", 1)}),
        ("INSERT INTO deals (external_id, name) VALUES ('7', 'There'); INSERT INTO transactions (external_id) VALUES ('1');"
         "INSERT INTO vantage_pending_links VALUES ('transactions', '1', 'deal_id', 'deals', '7', 'cashflows', 'no such record', 'r')",
         {("link not filled in", "transactions.deal_id", 1)}),
    ],
    ids=["unique", "doubles", "orphan", "not valid", "index and trigger", "forgotten link"],
)  # fmt: skip
def test_each_is_found(database: Database, done: str, found: set[tuple[str, str, int]]) -> None:
    database.rows(done)
    assert wrong(database) == found


def test_what_is_found_can_be_asked_of_one_resource(database: Database) -> None:
    database.rows("ALTER TABLE deals DROP CONSTRAINT deals_external_id_unique")
    connection = database.connect()
    try:
        assert {f.where for f in look(connection, catalog.select(["funds"])) if f.wrong} == {
            "deals.external_id", "constraint deals.deals_external_id_unique",
        }  # fmt: skip
        assert look(connection, catalog.select(["accounts"])) == []
    finally:
        connection.close()


def test_fields_without_a_column_and_fields_that_never_came_are_told(pipeline: Pipeline) -> None:
    agents = list(pipeline.sandbox.bubble.records["agent"].values())
    agents[0]["Nickname"] = agents[1]["Nickname"] = agents[1]["Another"] = "new"
    for record in agents:
        record.pop("Name", None)
    pipeline.sandbox.bubble.changed("agent")
    pipeline.sync("bubble/agent", full=True, allow_clear=["*"])

    def told() -> dict[str, tuple[str, int, str, bool]]:
        connection = pipeline.database.connect()
        try:
            found = look(connection, catalog.select(["agent"]))
            return {f.kind: (f.where, f.count, f.example, f.wrong) for f in found}
        finally:
            connection.close()

    found = told()
    assert found["field without a column (kept in extra)"] == ("bubble_agent", 2, "Another, Nickname", False)
    where, _, never, wrong_ = found["field of the catalog never seen"]
    assert (where, wrong_) == ("agent", False)
    assert "Name" in never.split(", ")
    for record in agents:
        record["Name"] = "back"
    pipeline.sandbox.bubble.changed("agent")
    pipeline.sync("bubble/agent", full=True)
    assert "Name" not in told().get("field of the catalog never seen", ("", 0, "", False))[2].split(", ")
    assert (
        pipeline.database.scalar(
            "SELECT records FROM vantage_field_sightings WHERE table_name = 'agent' AND field = 'Nickname'"
        )
        == 4
    )
