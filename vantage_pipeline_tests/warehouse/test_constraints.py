"""Foreign keys that rows broke when they were added: told of while they do, validated once they do not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg2.extensions import connection as Connection

from vantage_pipeline.warehouse.constraints import validate_mended
from vantage_pipeline.warehouse.findings import look
from vantage_pipeline_tests.database import Database
from vantage_pipeline_tests.pipeline import Pipeline

NAME = "invoice.invoice_linked_customer_fkey"
BROKEN = """
ALTER TABLE invoice DROP CONSTRAINT invoice_linked_customer_fkey;
INSERT INTO invoice (bubble_id, linked_customer) VALUES ('1x1', '9x9'), ('1x2', '9x9'), ('1x3', NULL);
ALTER TABLE invoice ADD CONSTRAINT invoice_linked_customer_fkey FOREIGN KEY (linked_customer)
    REFERENCES customer (customer_id) NOT VALID;
"""
MENDED = "UPDATE invoice SET linked_customer = NULL WHERE linked_customer = '9x9'"


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    made = database.connect()
    yield made
    made.close()


def broken(connection: Connection) -> list[tuple[str, int]]:
    return [(f.where, f.count) for f in look(connection) if f.kind == "foreign key broken by rows"]


def valid(database: Database) -> bool:
    return bool(
        database.scalar("SELECT convalidated FROM pg_constraint WHERE conname = 'invoice_linked_customer_fkey'")
    )


def test_it_is_told_of_while_rows_break_it_and_validated_when_they_are_mended(
    database: Database, connection: Connection
) -> None:
    database.execute(BROKEN)
    assert broken(connection) == [(NAME, 2)]
    assert validate_mended(connection) == []
    database.execute(MENDED)
    assert broken(connection) == []
    assert not valid(database)
    assert validate_mended(connection) == [NAME]
    assert valid(database)
    assert broken(connection) == []


def test_a_lock_that_another_session_holds_is_no_failure(database: Database, connection: Connection) -> None:
    database.execute(BROKEN + MENDED)
    other = database.connect()
    with other.cursor() as cursor:
        cursor.execute("LOCK TABLE invoice IN SHARE UPDATE EXCLUSIVE MODE")
    assert validate_mended(connection) == []
    other.close()
    assert validate_mended(connection) == [NAME]


def test_a_key_of_the_databases_own_is_told_of_and_left_as_it_is(database: Database, connection: Connection) -> None:
    database.execute(
        "ALTER TABLE invoice ADD mine text; INSERT INTO invoice (bubble_id, mine) VALUES ('1x1', 'no');"
        "ALTER TABLE invoice ADD CONSTRAINT own FOREIGN KEY (mine) REFERENCES customer (customer_id) NOT VALID"
    )
    assert broken(connection) == [("invoice.own", 1)]
    database.execute("UPDATE invoice SET mine = NULL")
    assert (broken(connection), validate_mended(connection)) == ([], [])


def test_the_repairs_of_links_validate_what_is_mended_and_a_dry_run_does_not(pipeline: Pipeline) -> None:
    pipeline.database.execute(BROKEN)
    pipeline.sync("bubble/links")
    assert not valid(pipeline.database)
    pipeline.database.execute(MENDED)
    pipeline.sync("bubble/links", dry_run=True)
    assert not valid(pipeline.database)
    pipeline.sync("bubble/links")
    assert valid(pipeline.database)
