"""The repairs' SQL on rows put there by hand."""

from __future__ import annotations

from vantage_pipeline.warehouse.repairs import repair_links
from vantage_pipeline_tests.database import Database

BECAME = "SELECT bubble_id, became_payment FROM submitted_payment ORDER BY 1"


def repair(database: Database) -> int:
    """How many rows the repairs change."""
    connection = database.connect()
    try:
        with connection, connection.cursor() as cursor:
            return repair_links(cursor).updated
    finally:
        connection.close()


def test_each_submission_becomes_a_payment_of_its_own(database: Database) -> None:
    database.execute("INSERT INTO invoice (bubble_id) VALUES ('1x1')")
    database.execute(
        "INSERT INTO submitted_payment (bubble_id, linked_invoice, amount, payment_date, created_date, deleted_at)"
        " SELECT '2x' || n, '1x1', 50, '2026-05-05Z', timestamptz '2026-05-05Z' + n * interval '1 day', now()"
        " FROM generate_series(1, 3) n"
    )
    one_more = (
        "INSERT INTO payment (bubble_id, linked_invoice, amount, payment_date, created_date)"
        " VALUES (%s, '1x1', 50, '2026-05-05Z', %s)"
    )
    database.execute(one_more, ("3x1", "2026-05-09Z"))
    assert repair(database) == 1
    assert database.rows(BECAME) == [("2x1", "3x1"), ("2x2", None), ("2x3", None)]
    database.execute(one_more, ("3x0", "2026-05-08Z"))
    database.execute(one_more, ("3x2", "2026-05-10Z"))
    assert repair(database) == 2
    assert database.rows(BECAME) == [("2x1", "3x1"), ("2x2", "3x0"), ("2x3", "3x2")]
    assert repair(database) == 0


def test_a_submission_that_is_back_has_become_no_payment_and_leaves_it_to_another(database: Database) -> None:
    database.execute("INSERT INTO invoice (bubble_id) VALUES ('1x1')")
    database.execute("INSERT INTO payment (bubble_id, linked_invoice, amount) VALUES ('3x1', '1x1', 50)")
    database.execute(
        "INSERT INTO submitted_payment (bubble_id, linked_invoice, amount, deleted_at, became_payment)"
        " VALUES ('2x1', '1x1', 50, NULL, '3x1'), ('2x2', '1x1', 50, now(), NULL), ('2x3', NULL, 9, NULL, NULL)"
    )
    assert repair(database) == 2
    assert database.rows(BECAME) == [("2x1", None), ("2x2", "3x1"), ("2x3", None)]


def test_a_payment_that_two_submissions_named_goes_to_the_first(database: Database) -> None:
    database.execute("INSERT INTO invoice (bubble_id) VALUES ('1x1')")
    database.execute(
        "INSERT INTO payment (bubble_id, linked_invoice, amount) VALUES ('3x1', '1x1', 50), ('3x2', '1x1', 50)"
    )
    database.execute(
        "INSERT INTO submitted_payment (bubble_id, linked_invoice, amount, deleted_at, became_payment)"
        " VALUES ('2x1', '1x1', 50, now(), '3x1'), ('2x2', '1x1', 50, now(), '3x1')"
    )
    assert repair(database) == 1
    assert database.rows(BECAME) == [("2x1", "3x1"), ("2x2", "3x2")]
