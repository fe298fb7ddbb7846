"""The migrations on an empty database, and on the older ones that there are."""

from __future__ import annotations

import itertools

import psycopg2
import pytest

from vantage_pipeline.errors import MigrationsMissing, WarehouseError
from vantage_pipeline.settings import sql_dir
from vantage_pipeline.warehouse import migrations
from vantage_pipeline_tests.database import Database

OLD_INVESTORS = """
CREATE TYPE investor_source_kind AS ENUM ('DISTRIBUTOR');
CREATE TABLE investors (id serial PRIMARY KEY, name text NOT NULL UNIQUE, external_id text,
    source_kind investor_source_kind NOT NULL DEFAULT 'DISTRIBUTOR', notes text);
CREATE TABLE deals (id serial PRIMARY KEY, name text NOT NULL);
INSERT INTO investors (name, notes) SELECT 'Old ' || n, 'mine' FROM generate_series(1, 41) n;
INSERT INTO deals (name) VALUES ('Old deal');
"""
MANUAL_FIXES = (
    "ALTER TABLE investors ADD CONSTRAINT investors_external_id_unique UNIQUE (external_id)",
    "ALTER TYPE investor_source_kind ADD VALUE 'vantage'",
    "ALTER TABLE investors DROP CONSTRAINT investors_name_key",
)
OLD_BUBBLE = """
CREATE TABLE customer (id serial PRIMARY KEY, customer_id text, name text, notes text);
CREATE TABLE invoice (id serial PRIMARY KEY, bubble_id text NOT NULL, linked_customer text, amount text, internal_notes text);
INSERT INTO customer (customer_id, name, notes) VALUES ('1x1', 'Kept', 'mine');
INSERT INTO invoice (bubble_id, linked_customer, amount, internal_notes) VALUES ('2x1', '1x1', '10.50', 'mine'), ('2x2', '9x9', '1', 'mine');
"""


LEFT = """
SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE '%yoyo%'
UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typname NOT LIKE '%yoyo%'
"""


def test_they_apply_twice_over_and_roll_back(empty_database: Database) -> None:
    url = empty_database.url
    assert migrations.apply(url) == migrations.known()
    assert migrations.apply(url) == []
    assert migrations.rollback(url, 99) == migrations.known()[::-1]
    assert empty_database.rows(LEFT) == []
    assert migrations.apply(url) == migrations.known()


def test_each_has_a_rollback() -> None:
    folder = sql_dir() / "migrations"
    assert all((folder / f"{name}.rollback.sql").is_file() for name in migrations.known())


def test_a_missing_migration_is_named(empty_database: Database) -> None:
    with pytest.raises(MigrationsMissing, match="migrate up"):
        migrations.check(empty_database.url)


@pytest.mark.parametrize(
    "fixes", [(), *((fix,) for fix in MANUAL_FIXES), *itertools.permutations(MANUAL_FIXES, 2), MANUAL_FIXES]
)
def test_an_older_database_keeps_its_rows(empty_database: Database, fixes: tuple[str, ...]) -> None:
    empty_database.rows(OLD_INVESTORS)
    for fix in fixes:
        empty_database.rows(fix)
    migrations.apply(empty_database.url)
    assert (
        empty_database.scalar("SELECT count(*) FROM investors WHERE source_kind = 'DISTRIBUTOR' AND notes = 'mine'")
        == 41
    )
    empty_database.rows("INSERT INTO investors (name, external_id, source_kind) VALUES ('Old 1', '7', 'vantage')")
    with pytest.raises(psycopg2.errors.UniqueViolation):
        empty_database.rows("INSERT INTO investors (name, external_id) VALUES ('x', '7')")
    assert not empty_database.scalar("SELECT relrowsecurity FROM pg_class WHERE relname = 'investors'")
    migrations.rollback(empty_database.url, 99)
    assert empty_database.scalar("SELECT count(*) FROM investors") == 42


def test_older_bubble_tables_gain_columns_and_keep_the_rest(empty_database: Database) -> None:
    empty_database.rows(OLD_BUBBLE)
    migrations.apply(empty_database.url)
    assert empty_database.rows("SELECT amount, internal_notes FROM invoice ORDER BY 1") == [
        ("1", "mine"),
        ("10.50", "mine"),
    ]
    assert (
        empty_database.scalar(
            "SELECT data_type FROM information_schema.columns WHERE table_name = 'invoice' AND column_name = 'amount'"
        )
        == "text"
    )
    assert not empty_database.scalar(
        "SELECT convalidated FROM pg_constraint WHERE conname = 'invoice_linked_customer_fkey'"
    )
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        empty_database.rows("INSERT INTO invoice (bubble_id, linked_customer) VALUES ('2x3', '8x8')")


def test_doubles_in_a_key_are_named_and_nothing_changes(empty_database: Database) -> None:
    empty_database.rows(OLD_BUBBLE + "INSERT INTO invoice (bubble_id) VALUES ('2x1');")
    with pytest.raises(WarehouseError, match=r"2x1 \(2 rows\).*Nothing was changed"):
        migrations.apply(empty_database.url)
    columns = empty_database.scalar("SELECT count(*) FROM information_schema.columns WHERE table_name = 'invoice'")
    assert columns == 5


def test_the_state_table_is_as_documented(database: Database) -> None:
    columns = [r[0] for r in database.rows(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'vantage_sync_state'"
        " ORDER BY ordinal_position")]  # fmt: skip
    assert columns == ["resource", "last_sync_time", "last_sync_status", "records_synced", "records_created",
        "records_updated", "errors", "started_at", "completed_at", "duration_ms",
        "created_at", "updated_at"]  # fmt: skip
    assert database.scalar("SELECT count(*) FROM pg_policies WHERE tablename = 'vantage_sync_state'") == 5
    triggers = database.scalar(
        "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'vantage_sync_state'::regclass AND NOT tgisinternal"
    )
    assert triggers == 2
    indexes = {r[0] for r in database.rows("SELECT indexname FROM pg_indexes WHERE tablename = 'vantage_sync_state'")}
    assert {"idx_vantage_sync_status", "idx_vantage_sync_last_time", "idx_vantage_sync_duration"} < indexes
    checks = {
        r[0]
        for r in database.rows(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'vantage_sync_state'::regclass AND contype = 'c'"
        )
    }
    assert {"vantage_sync_state_last_sync_status_check", "vantage_sync_state_records_synced_check",
        "vantage_sync_state_records_created_check", "vantage_sync_state_records_updated_check",
        "vantage_sync_state_duration_ms_check", "valid_sync_timerange", "running_incomplete", "errors_is_array"} <= checks  # fmt: skip
    comments = database.scalar(
        "SELECT count(*) FROM pg_description WHERE objoid = 'vantage_sync_state'::regclass AND objsubid > 0"
    )
    assert comments == 12


def test_every_function_pins_its_search_path(database: Database) -> None:
    """The system's schema first: whoever may create in public cannot slip a function of theirs in."""
    loose = database.rows(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND NOT"
        " 'search_path=pg_catalog, public, pg_temp' = ANY (coalesce(proconfig, '{}'))"
    )
    assert loose == []
