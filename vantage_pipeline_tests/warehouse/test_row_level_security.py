"""Who may read and write what, by trying: on a plain server, and with the default grants of Supabase."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg2
import pytest
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline.warehouse import migrations
from vantage_pipeline.warehouse.embedded import EmbeddedServer
from vantage_pipeline_tests.database import Database, fresh

OPEN = {"vantage_sync_state", "vantage_sync_expectation", "sync_health"}
OPEN_FUNCTIONS = {
    "vantage_consecutive_failures(text)",
    "vantage_usual_duration(text)",
    "vantage_hides_failure(text)",
}
RELATIONS = """
SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v') ORDER BY 1
"""
SUPABASE = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'anon') THEN CREATE ROLE anon NOLOGIN; END IF;
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'authenticated') THEN CREATE ROLE authenticated NOLOGIN; END IF;
    IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'service_role') THEN CREATE ROLE service_role NOLOGIN; END IF;
END $$;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
GRANT USAGE ON SCHEMA public TO anon;
"""


@pytest.fixture(scope="module", params=["plain", "supabase"])
def guarded_database(request: pytest.FixtureRequest, postgres: EmbeddedServer) -> Iterator[Database]:
    """A migrated database; nothing that a test does in it is committed."""
    with fresh(postgres) as made:
        if request.param == "supabase":
            made.execute(SUPABASE)
        migrations.apply(made.url)
        yield made


@pytest.fixture
def cursor(guarded_database: Database) -> Iterator[Cursor]:
    connection = guarded_database.connect()
    with connection.cursor() as opened:
        yield opened
    connection.close()


def may(cursor: Cursor, role: str, statement: sql.Composable | str) -> bool:
    """Whether `role` can run it; what it did is undone."""
    cursor.execute("SAVEPOINT tried")
    cursor.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
    try:
        cursor.execute(statement)
    except psycopg2.errors.InsufficientPrivilege:
        return False
    finally:
        cursor.execute("ROLLBACK TO SAVEPOINT tried")
    return True


def relations(cursor: Cursor) -> list[str]:
    cursor.execute(RELATIONS)
    return [name for (name,) in cursor.fetchall()]


def all_from(name: str) -> sql.Composable:
    return sql.SQL("SELECT * FROM {} LIMIT 1").format(sql.Identifier(name))


def test_authenticated_reads_the_state_and_nothing_else(cursor: Cursor) -> None:
    names = relations(cursor)
    assert {"investors", "invoice", "user", "vantage_quarantine", "vantage_sync_history", "_yoyo_migration"} < set(
        names
    )
    assert {name for name in names if may(cursor, "authenticated", all_from(name))} == OPEN


def test_authenticated_sees_every_row_of_the_state(cursor: Cursor) -> None:
    cursor.execute("SET LOCAL ROLE authenticated")
    cursor.execute("SELECT (SELECT count(*) FROM vantage_sync_state), (SELECT count(*) FROM sync_health)")
    assert cursor.fetchone() == (16, 16)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO vantage_sync_state (resource) VALUES ('x')",
        "UPDATE vantage_sync_state SET records_synced = 1",
        "DELETE FROM vantage_sync_state",
        "TRUNCATE vantage_sync_state",
        "UPDATE vantage_sync_expectation SET expected_every = '1 year'",
        "INSERT INTO investors (name) VALUES ('x')",
        "DELETE FROM _yoyo_migration",
        "SELECT start_vantage_sync('accounts')",
        "SELECT complete_vantage_sync('accounts', 1, 1, 0)",
        "SELECT fail_vantage_sync('accounts', '[]')",
        "SELECT checkpoint_vantage_sync('accounts', '{}')",
        "SELECT nextval('vantage_sync_history_id_seq')",
    ],
)
def test_authenticated_cannot_write(cursor: Cursor, statement: str) -> None:
    assert not may(cursor, "authenticated", statement)


def test_outsiders_may_execute_nothing_but_the_two_counts(cursor: Cursor, guarded_database: Database) -> None:
    for role in guarded_database.rows("SELECT rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated')"):
        cursor.execute(
            "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
            " AND has_function_privilege(%s, oid, 'execute')",
            role,
        )
        assert {name for (name,) in cursor.fetchall()} == (OPEN_FUNCTIONS if role == ("authenticated",) else set())


def test_anon_has_no_right_on_any_table(cursor: Cursor) -> None:
    cursor.execute("SELECT rolname FROM pg_roles WHERE rolname = 'anon'")
    for (role,) in cursor.fetchall():
        assert [name for name in relations(cursor) if may(cursor, role, all_from(name))] == []


def test_service_role_reads_and_writes_everything(cursor: Cursor) -> None:
    assert [name for name in relations(cursor) if not may(cursor, "service_role", all_from(name))] == []
    for statement in (
        "INSERT INTO investors (name) VALUES ('x')",
        "UPDATE vantage_sync_state SET records_synced = 1",
        "DELETE FROM vantage_sync_state",
        "INSERT INTO vantage_sync_history (run_id, resource, status, started_at) VALUES ('r', 'x', 'failed', now())",
        "SELECT start_vantage_sync('accounts'); SELECT complete_vantage_sync('accounts', 1, 1, 0)",
        "SELECT fail_vantage_sync('accounts', '[]')",
    ):
        assert may(cursor, "service_role", statement), statement


def test_service_role_sees_the_rows(cursor: Cursor) -> None:
    cursor.execute("INSERT INTO investors (name) VALUES ('x')")
    cursor.execute("SET LOCAL ROLE service_role")
    cursor.execute("UPDATE investors SET name = 'y'")
    assert cursor.rowcount == 1


def test_all_tables_of_ours_have_row_level_security(cursor: Cursor) -> None:
    cursor.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        " AND NOT relrowsecurity"
    )
    assert cursor.fetchall() == []
