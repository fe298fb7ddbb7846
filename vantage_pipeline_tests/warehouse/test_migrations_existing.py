"""Databases that have some of the tables already: nothing is dropped, retyped, regranted or lost."""

from __future__ import annotations

from typing import Any

import psycopg2
import pytest

from vantage_pipeline.errors import WarehouseError
from vantage_pipeline.warehouse import migrations
from vantage_pipeline_tests.database import Database

INVESTORS = """
CREATE TABLE investors (id serial PRIMARY KEY, name text NOT NULL, external_id text, source_kind text, notes text);
INSERT INTO investors (name, source_kind, notes) SELECT 'Old ' || n, 'DISTRIBUTOR', 'mine' FROM generate_series(1, 41) n;
"""
OLD_STATE = """
CREATE TABLE vantage_sync_state (resource text PRIMARY KEY, last_sync_time timestamptz,
    last_sync_status text NOT NULL DEFAULT 'never_run', records_synced int NOT NULL DEFAULT 0,
    records_created int NOT NULL DEFAULT 0, records_updated int NOT NULL DEFAULT 0, errors jsonb NOT NULL DEFAULT '[]',
    started_at timestamptz, completed_at timestamptz, duration_ms int, created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now());
INSERT INTO vantage_sync_state (resource, last_sync_time, last_sync_status) VALUES ('accounts', '2025-11-06Z', 'success');
CREATE FUNCTION update_vantage_sync_state_updated_at() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NEW.updated_at = now(); RETURN NEW; END $$;
CREATE TRIGGER trigger_vantage_sync_state_updated_at BEFORE UPDATE ON vantage_sync_state
    FOR EACH ROW EXECUTE FUNCTION update_vantage_sync_state_updated_at();
CREATE FUNCTION start_vantage_sync(resource_name text) RETURNS void LANGUAGE sql AS
    $$ UPDATE vantage_sync_state SET last_sync_status = 'running' WHERE resource = resource_name $$;
CREATE FUNCTION complete_vantage_sync(p_resource text, p_records_synced int, p_records_created int, p_records_updated int)
    RETURNS void LANGUAGE sql AS
    $$ UPDATE vantage_sync_state SET last_sync_status = 'success', records_synced = -1 WHERE resource = p_resource $$;
"""
BUBBLE = """
CREATE TABLE agent (id serial PRIMARY KEY, bubble_id text NOT NULL CONSTRAINT agent_key UNIQUE, name varchar(200));
CREATE TABLE customer (customer_id text PRIMARY KEY, name text, linked_agent integer);
CREATE TABLE invoice (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), bubble_id text, amount text, linked_payment text,
    linked_agent text CONSTRAINT my_link REFERENCES agent (bubble_id), linked_customer text, internal_notes text);
CREATE INDEX my_index ON invoice (linked_customer);
INSERT INTO agent (bubble_id) VALUES ('1x1');
INSERT INTO customer VALUES ('2x1', 'Kept', 7);
INSERT INTO invoice (bubble_id, amount, linked_agent, linked_customer, internal_notes)
    VALUES ('3x1', '10.50', '1x1', '2x1', 'mine'), ('3x2', 'n/a', NULL, '9x9', 'mine');
"""
SHAPE = """
SELECT 'column', attrelid::regclass::text, attname::text, format_type(atttypid, atttypmod) FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid AND c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
    WHERE attnum > 0 AND NOT attisdropped AND c.relname NOT LIKE '%yoyo%'
UNION ALL SELECT 'constraint', conrelid::regclass::text, conname::text, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND contype <> 'n' AND conrelid::regclass::text NOT LIKE '%yoyo%'
UNION ALL SELECT 'index', tablename::text, indexname::text, indexdef FROM pg_indexes
    WHERE schemaname = 'public' AND tablename NOT LIKE '%yoyo%'
UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'function', '', oid::regprocedure::text, pg_get_functiondef(oid) FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT 'table', relowner::regrole::text, relname::text, relrowsecurity::text ||
        coalesce((SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(relacl) a), '') FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v') AND relname NOT LIKE '%yoyo%'
UNION ALL SELECT 'policy', tablename::text, policyname::text, roles::text || cmd FROM pg_policies
    WHERE tablename NOT LIKE '%yoyo%'
ORDER BY 1, 2, 3
"""
BUBBLE_TABLES = "20251108000000_bubble_tables"


def shape(database: Database) -> set[tuple[Any, ...]]:
    """Everything about the tables that a migration could change."""
    return set(database.rows(SHAPE))


@pytest.mark.parametrize(
    "unique",
    [
        "ALTER TABLE investors ADD CONSTRAINT whatever UNIQUE (name)",
        "CREATE UNIQUE INDEX whatever ON investors (name)",
        "CREATE UNIQUE INDEX whatever ON investors (lower(name))",
        "ALTER TABLE investors ADD CONSTRAINT a UNIQUE (name); CREATE UNIQUE INDEX b ON investors (name)",
    ],
)
def test_names_need_not_be_unique_however_that_was_asked(empty_database: Database, unique: str) -> None:
    empty_database.execute(INVESTORS + unique)
    before = shape(empty_database)
    migrations.apply(empty_database.url)
    empty_database.execute("INSERT INTO investors (name, external_id, source_kind) VALUES ('Old 1', '7', 'vantage')")
    empty_database.execute("DELETE FROM investors WHERE external_id = '7'")
    migrations.rollback(empty_database.url, 99)
    assert shape(empty_database) == before


def test_names_that_are_shared_by_now_keep_a_rollback_from_asking_for_unique_ones(empty_database: Database) -> None:
    empty_database.execute(INVESTORS + "ALTER TABLE investors ADD CONSTRAINT investors_name_key UNIQUE (name)")
    migrations.apply(empty_database.url)
    empty_database.execute("INSERT INTO investors (name) VALUES ('Old 1')")
    migrations.rollback(empty_database.url, 99)
    assert empty_database.scalar("SELECT count(*) FROM investors WHERE name = 'Old 1'") == 2


def test_a_unique_rule_over_other_columns_stays(empty_database: Database) -> None:
    empty_database.execute(INVESTORS + "CREATE UNIQUE INDEX mine ON investors (name) WHERE source_kind = 'DISTRIBUTOR'")
    migrations.apply(empty_database.url)
    assert empty_database.scalar("SELECT to_regclass('mine') IS NOT NULL")


@pytest.mark.parametrize(
    "fix",
    [
        "",
        "CREATE UNIQUE INDEX investors_external_id_unique ON investors (external_id)",
        "CREATE UNIQUE INDEX other_name ON investors (external_id)",
        "ALTER TABLE investors ADD CONSTRAINT other_name UNIQUE (external_id)",
        "ALTER TABLE investors ADD CONSTRAINT investors_external_id_unique UNIQUE (external_id)",
    ],
)
def test_the_key_of_investors_has_its_very_name(empty_database: Database, fix: str) -> None:
    empty_database.execute(INVESTORS + fix)
    migrations.apply(empty_database.url)
    assert empty_database.rows(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'investors_external_id_unique'"
    ) == [("UNIQUE (external_id)",)]


def test_doubles_among_the_external_ids_are_named_and_nothing_changes(empty_database: Database) -> None:
    empty_database.execute(INVESTORS + "UPDATE investors SET external_id = '77' WHERE id IN (1, 2)")
    with pytest.raises(WarehouseError, match=r"77 \(2 rows\).*Nothing was changed.*run the migration again"):
        migrations.apply(empty_database.url)
    empty_database.execute("UPDATE investors SET external_id = NULL WHERE id = 2")
    migrations.apply(empty_database.url)
    assert migrations.pending(empty_database.url) == []


def test_ids_of_another_kind_stay_and_have_no_foreign_key(empty_database: Database) -> None:
    empty_database.execute(
        "CREATE TABLE investors (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text);"
        " CREATE TABLE deals (name text); INSERT INTO deals VALUES ('Old deal')"
    )
    migrations.apply(empty_database.url)
    links = "SELECT conname FROM pg_constraint WHERE contype = 'f' AND conrelid = 'transactions'::regclass"
    assert empty_database.rows(links) == [("transactions_deal_id_fkey",)]
    assert empty_database.scalar("SELECT id FROM deals") == 1


def test_a_rollback_gives_back_exactly_what_was_there(empty_database: Database) -> None:
    empty_database.execute(INVESTORS + BUBBLE)
    rows = "SELECT bubble_id, amount, linked_agent, linked_customer, internal_notes FROM invoice ORDER BY 1"
    before, held = shape(empty_database), empty_database.rows(rows)
    migrations.apply(empty_database.url)
    assert empty_database.rows(rows) == held
    # nothing that was there has changed, only been added to
    assert {item for item in before - shape(empty_database) if item[0] != "table"} == set()
    migrations.rollback(empty_database.url, 99)
    assert shape(empty_database) == before
    assert empty_database.rows(rows) == held


def test_twice_over_changes_nothing(empty_database: Database) -> None:
    """As after a crash between a migration's commit and the note that it was applied."""
    empty_database.execute(INVESTORS + BUBBLE + OLD_STATE)
    migrations.apply(empty_database.url)
    noted = "SELECT * FROM vantage_schema_objects"
    once = shape(empty_database), set(empty_database.rows(noted))
    empty_database.execute("DELETE FROM _yoyo_migration")
    assert migrations.apply(empty_database.url) == migrations.known()
    assert shape(empty_database) ^ once[0] == set()
    assert set(empty_database.rows(noted)) ^ once[1] == set()


def test_existing_links_and_keys_are_not_doubled(empty_database: Database) -> None:
    empty_database.execute(BUBBLE)
    migrations.apply(empty_database.url)
    keys = "SELECT conrelid::regclass::text, conname::text FROM pg_constraint WHERE contype IN ('u', 'p', 'f')"
    found = set(empty_database.rows(keys))
    assert {("agent", "agent_key"), ("customer", "customer_pkey"), ("invoice", "my_link")} < found
    assert not {("agent", "agent_bubble_id_unique"), ("customer", "customer_customer_id_unique")} & found
    assert not {("invoice", "invoice_linked_agent_fkey"), ("customer", "customer_linked_agent_fkey")} & found
    assert empty_database.scalar("SELECT to_regclass('idx_invoice_linked_customer') IS NULL")


def test_a_link_that_rows_break_holds_for_new_rows(empty_database: Database) -> None:
    empty_database.execute(BUBBLE)
    migrations.apply(empty_database.url)
    named = "SELECT conname::text FROM pg_constraint WHERE contype = 'f' AND NOT convalidated"
    assert empty_database.rows(named) == [("invoice_linked_customer_fkey",)]
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        empty_database.execute("INSERT INTO invoice (bubble_id, linked_customer) VALUES ('3x3', '8x8')")


def test_owner_grants_and_policies_of_existing_tables_stay(empty_database: Database) -> None:
    empty_database.execute(
        INVESTORS + BUBBLE + "DO $$ BEGIN CREATE ROLE somebody; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
        " ALTER TABLE investors OWNER TO somebody; GRANT SELECT ON invoice TO somebody;"
        " ALTER TABLE agent ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON agent TO somebody USING (true)"
    )
    rights = (
        "SELECT relname, relowner::regrole::text, relrowsecurity, relacl::text FROM pg_class"
        " WHERE relname IN ('investors', 'invoice', 'agent', 'customer') ORDER BY 1"
    )
    before = empty_database.rows(rights)
    migrations.apply(empty_database.url)
    assert empty_database.rows(rights) == before
    policies = (
        "SELECT tablename::text, policyname::text FROM pg_policies WHERE tablename IN ('investors', 'invoice', 'agent')"
    )
    assert empty_database.rows(policies) == [("agent", "mine")]


def test_an_earlier_state_table_keeps_its_rows_and_gains_the_rest(empty_database: Database) -> None:
    empty_database.execute(OLD_STATE)
    before = shape(empty_database)
    migrations.apply(empty_database.url)
    state = "SELECT last_sync_status, records_synced, last_sync_time > '2026-01-01' FROM vantage_sync_state WHERE resource = %s"
    assert empty_database.rows(state, "accounts") == [("success", 0, False)]
    assert empty_database.scalar("SELECT count(*) FROM vantage_sync_state") == 16
    # a call with four arguments goes to ours, not to the earlier function
    empty_database.execute("SELECT start_vantage_sync('accounts')")
    empty_database.execute("SELECT complete_vantage_sync('accounts', 100, 10, 90)")
    assert empty_database.rows(state, "accounts") == [("success", 100, True)]
    with pytest.raises(psycopg2.errors.CheckViolation, match="duration_ms_check"):
        empty_database.execute("INSERT INTO vantage_sync_state (resource, duration_ms) VALUES ('t', -100)")
    migrations.rollback(empty_database.url, 99)
    added = {("table", "vantage_sync_state"), ("function", "")}
    assert {item for item in before - shape(empty_database) if (item[0], item[2]) not in added} == set()
    assert empty_database.rows(state, "accounts") == [("success", 100, True)]
    empty_database.execute("SELECT complete_vantage_sync('accounts', 1, 1, 0)")
    assert empty_database.rows(state, "accounts") == [("success", -1, True)]


def test_doubles_in_a_bubble_key_leave_all_eight_tables_as_they_were(empty_database: Database) -> None:
    empty_database.execute(BUBBLE + "INSERT INTO invoice (bubble_id) VALUES ('3x1'), ('3x1')")
    with pytest.raises(WarehouseError, match=r"invoice\.bubble_id.*3x1 \(3 rows\)"):
        migrations.apply(empty_database.url)
    known = migrations.known()
    assert migrations.pending(empty_database.url) == known[known.index(BUBBLE_TABLES) :]
    assert empty_database.scalar("SELECT to_regclass('payment') IS NULL")
    columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'agent'"
    assert empty_database.scalar(columns) == 3
