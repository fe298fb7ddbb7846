"""How long syncs stay in the history."""

from __future__ import annotations

from vantage_pipeline.warehouse import history
from vantage_pipeline_tests.database import Database

STAGED = """
DO $$
BEGIN
    PERFORM vantage_history_partition(now() - n * interval '1 month') FROM generate_series(2, 8) n;
END $$;
INSERT INTO vantage_sync_history (run_id, resource, status, partial, started_at, completed_at)
SELECT run, resource, status, partial, now() - days * interval '1 day', now() - days * interval '1 day'
FROM (VALUES
    ('1', 'accounts', 'success', false, 200), ('2', 'accounts', 'success', false, 150), ('3', 'accounts', 'success', false, 2),
    ('4', 'funds', 'success', false, 200), ('5', 'funds', 'success', false, 190), ('6', 'funds', 'failed', false, 180),
    ('7', 'funds', 'failed', false, 170), ('8', 'funds', 'success', true, 160), ('9', 'funds', 'success', true, 150),
    ('10', 'cashflows', 'failed', false, 200), ('11', 'commitments', 'running', false, 200), ('12', 'commitments', 'success', false, 1)
) staged (run, resource, status, partial, days);
"""
PARTITIONS = """
SELECT count(*) FROM pg_inherits WHERE inhparent = 'vantage_sync_history'::regclass
"""


def test_what_tells_how_a_resource_is_stays_and_months_without_syncs_are_dropped(database: Database) -> None:
    database.execute(STAGED)
    before = database.scalar(PARTITIONS)
    conditions = "SELECT resource, condition, run_id FROM sync_conditions ORDER BY 1, 2"
    held = database.rows(conditions)
    connection = database.connect()
    with connection.cursor() as cursor:
        assert history.forget(cursor, 100) == 5
        connection.commit()
        assert history.forget(cursor, 100) == 0
    connection.close()
    left = database.rows("SELECT run_id FROM vantage_sync_history ORDER BY run_id::int")
    assert [run for (run,) in left] == ["3", "5", "7", "9", "10", "11", "12"]
    assert database.rows(conditions) == held
    assert before - 5 <= database.scalar(PARTITIONS) < before
    database.execute("SELECT start_vantage_sync('accounts')")
    assert database.scalar("SELECT count(*) FROM vantage_sync_history") == 8


def test_a_month_that_another_session_holds_is_dropped_the_next_time(database: Database) -> None:
    database.execute("DO $$ BEGIN PERFORM vantage_history_partition(now() - interval '8 months'); END $$")
    before = database.scalar(PARTITIONS)
    reader, connection = database.connect(), database.connect()
    with reader.cursor() as other, connection.cursor() as cursor:
        other.execute("SELECT count(*) FROM vantage_sync_history")
        assert history.forget(cursor, 100) == 0
        connection.commit()
        assert database.scalar(PARTITIONS) == before
        reader.rollback()
        history.forget(cursor, 100)
        connection.commit()
    assert database.scalar(PARTITIONS) == before - 1
    reader.close()
    connection.close()
