"""A sync of a few records says nothing of the others: it ends no failure, and nothing that is late or held back."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from vantage_pipeline.cli.replay import replay
from vantage_pipeline.errors import PipelineError
from vantage_pipeline.orchestration.throttled import put_off
from vantage_pipeline.sandbox import Fault
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse import state
from vantage_pipeline.warehouse.state import Run
from vantage_pipeline_tests.pipeline import Pipeline

INVOICE = "bubble/invoice"


def one(pipeline: Pipeline) -> list[str]:
    return [pipeline.database.scalar("SELECT min(bubble_id) FROM invoice")]


def old_days(pipeline: Pipeline) -> None:
    day = datetime(2026, 1, 5, tzinfo=UTC)
    pipeline.sync(INVOICE, window=(day, day + timedelta(days=1)))


def far_days(pipeline: Pipeline) -> None:
    day = datetime.now(UTC) + timedelta(days=3)
    pipeline.sync(INVOICE, window=(day, day + timedelta(days=1)))


PARTIAL: dict[str, Callable[[Pipeline], object]] = {
    "given ids": lambda pipeline: pipeline.sync(INVOICE, ids=one(pipeline), force=True),
    "a limit": lambda pipeline: pipeline.sync(INVOICE, limit=5),
    "a limit of everything": lambda pipeline: pipeline.sync(INVOICE, full=True, limit=5),
    "old days": old_days,
    "days that do not join on": far_days,
}


@pytest.fixture
def synced(pipeline: Pipeline) -> Pipeline:
    for name in ("agent", "customer", "user", "invoice"):
        pipeline.sync(f"bubble/{name}", full=True)
    assert conditions(pipeline) == set()
    return pipeline


def conditions(pipeline: Pipeline) -> set[str]:
    """What holds of the invoices; the public view says so too."""
    found = {row[0] for row in pipeline.database.rows(
        "SELECT condition FROM sync_conditions WHERE resource = 'bubble_invoice'"
    )}  # fmt: skip
    colour, listed = pipeline.database.rows(
        "SELECT health_indicator, conditions FROM sync_health WHERE resource = 'bubble_invoice'"
    )[0]
    assert set(listed) == found - {"held_back"}
    assert colour == ("red" if "failed" in found else "yellow" if "stale" in found else "green")
    return found


def fail(pipeline: Pipeline, times: int = 1) -> None:
    for _ in range(times):
        pipeline.sandbox.faults.add(Fault("500", match="/obj/invoice", times=50))
        with pytest.raises(PipelineError):
            pipeline.sync(INVOICE)
        pipeline.sandbox.faults.clear()


@pytest.mark.parametrize("way", PARTIAL)
def test_no_partial_run_ends_a_failure(synced: Pipeline, way: str) -> None:
    synced.changes["max_attempts"] = 1
    fail(synced, times=3)
    assert conditions(synced) == {"failed", "failing_repeatedly"}
    PARTIAL[way](synced)
    assert synced.database.rows("SELECT last_sync_status, errors FROM vantage_sync_state WHERE resource = "
                                "'bubble_invoice'") == [("success", [])]  # fmt: skip
    assert conditions(synced) == {"failed", "failing_repeatedly"}
    run, errors = synced.database.rows("SELECT run_id, errors->0->>'code' FROM sync_conditions"
                                       " WHERE condition = 'failed' AND resource = 'bubble_invoice'")[0]  # fmt: skip
    assert (run, errors) == ("run-7", "API_UNREACHABLE")
    synced.sync(INVOICE)
    assert conditions(synced) == set()


@pytest.mark.parametrize("way", PARTIAL)
def test_no_partial_run_brings_what_is_late_up_to_date(synced: Pipeline, way: str) -> None:
    week = "SET {} = {} - interval '7 days'"
    for column in ("started_at", "completed_at"):
        synced.database.execute(f"UPDATE vantage_sync_history {week.format(column, column)}")
    synced.database.execute("UPDATE vantage_sync_state SET last_sync_time = last_sync_time - interval '7 days'")
    assert conditions(synced) == {"stale"}
    PARTIAL[way](synced)
    assert conditions(synced) == {"stale"}
    synced.sync(INVOICE)
    assert conditions(synced) == set()


def test_the_failure_of_a_partial_run_ends_with_its_success(synced: Pipeline) -> None:
    for _ in range(3):
        with pytest.raises(PipelineError):
            synced.sync(INVOICE, ids=["1x1"])
    assert conditions(synced) == {"failed"}
    synced.sync(INVOICE, ids=one(synced), force=True)
    assert conditions(synced) == set()


def test_what_was_held_back_is_not_done_by_a_part_of_everything(synced: Pipeline) -> None:
    synced.database.execute(
        "INSERT INTO vantage_held_back (resource, table_name, kind, column_name, records, share, run_id)"
        " VALUES ('bubble_invoice', 'invoice', 'clear', 'amount', 40, 1, 'held')"
    )
    synced.sync(INVOICE, full=True, limit=5, allow_clear=["invoice.amount"])

    assert conditions(synced) == {"held_back"}
    synced.sync(INVOICE, full=True)
    assert conditions(synced) == set()


def test_what_was_put_off_is_taken_up_though_an_invoice_was_synced_since(synced: Pipeline) -> None:
    synced.sandbox.faults.add(Fault("429_hour", match="/obj/invoice"))
    with pytest.raises(PipelineError):
        synced.sync(INVOICE)
    connection = synced.database.connect()
    synced.database.execute(
        "UPDATE vantage_sync_history SET errors = jsonb_set(errors, '{0,retry_at}', to_jsonb(now())) WHERE status = 'failed'"
    )
    later = datetime.now(UTC) + timedelta(minutes=1)
    assert [item.resource.asset for item in put_off(connection, later)] == [INVOICE]
    synced.sync(INVOICE, ids=one(synced), force=True)
    assert [item.resource.asset for item in put_off(connection, later)] == [INVOICE]
    synced.sync(INVOICE)
    assert put_off(connection, later) == []
    connection.close()


def test_a_replay_of_the_quarantine_is_partial_and_one_that_fails_is_recorded(
    pipeline: Pipeline, make_settings: Callable[..., Settings]
) -> None:
    settings, database = make_settings(DATABASE_URL=pipeline.database.url), pipeline.database
    database.execute(
        "INSERT INTO vantage_quarantine (resource, table_name, record_key, code, field, message, record, run_id)"
        " VALUES ('accounts', 'investors', 'k', 'C', 'f', 'm', %s, 'r')",
        (json.dumps(pipeline.sandbox.vantage.records["accounts"][0], default=str),),
    )
    database.execute("ALTER TABLE investors RENAME TO elsewhere")
    with pytest.raises(PipelineError):
        replay(settings, [])
    database.execute("ALTER TABLE elsewhere RENAME TO investors")
    assert replay(settings, []) == [("accounts", "investors", 1, 0)]
    told = "SELECT status, partial FROM vantage_sync_history ORDER BY id"
    assert database.rows(told) == [("failed", True), ("success", True)]


def test_how_long_a_sync_takes_is_told_by_whole_ones(synced: Pipeline) -> None:
    synced.database.execute(
        "INSERT INTO vantage_sync_history (run_id, resource, status, partial, started_at, completed_at, duration_ms)"
        " SELECT n::text, 'bubble_invoice', 'success', n > 6, now() - n * interval '1 hour', now() - n * interval '1 hour',"
        " CASE WHEN n > 6 THEN 10 ELSE 60000 END FROM generate_series(1, 20) n"
    )
    assert synced.database.scalar("SELECT vantage_usual_duration('bubble_invoice')") == 60_000
    synced.sync(INVOICE)
    synced.database.execute(
        "UPDATE vantage_sync_history SET duration_ms = 400000 WHERE resource = 'bubble_invoice' AND run_id = %s",
        (synced.run_id,),
    )
    synced.database.execute("UPDATE vantage_sync_state SET started_at = completed_at - interval '400 s'")
    slow = {"slow", "slower_than_usual"}
    told = "SELECT condition, run_id FROM sync_conditions WHERE resource = 'bubble_invoice'"
    before = synced.database.rows(told)
    assert dict(before) == dict.fromkeys(slow, synced.run_id)
    synced.sync(INVOICE, limit=5)
    assert synced.database.rows(told) == before


def test_what_is_derived_is_whole_whenever_it_is_derived(pipeline: Pipeline) -> None:
    pipeline.sync("bubble/links")
    assert pipeline.database.rows("SELECT partial FROM vantage_sync_history") == [(False,)]


def test_a_partial_run_that_is_closed_by_another_stays_partial(pipeline: Pipeline) -> None:
    connection = pipeline.database.connect()
    with connection.cursor() as cursor:
        for run in (Run("one", partial=True), Run("all")):
            state.announce(cursor, run)
            state.start(cursor, "accounts")
    connection.commit()
    connection.close()
    assert pipeline.database.rows("SELECT run_id, status, partial FROM vantage_sync_history ORDER BY id") == [
        ("one", "failed", True), ("all", "running", False)
    ]  # fmt: skip
