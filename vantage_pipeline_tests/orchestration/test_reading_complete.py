"""The check `reading_complete` of Bubble's resources: what the API said there was, against what was read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from vantage_pipeline.orchestration import checks
from vantage_pipeline.sandbox import Sandbox
from vantage_pipeline.sandbox.bubble_data import iso
from vantage_pipeline_tests.database import Database
from vantage_pipeline_tests.pipeline import Pipeline


@pytest.fixture
def pipeline(make_sandbox: Callable[..., Sandbox], embedded: Database, state_dir: Path) -> Pipeline:
    """With some 360 customers, in four pages, of whom nobody was edited lately."""
    made = Pipeline(make_sandbox(bubble_scale=0.08), embedded)
    made.changes = {"state_dir": state_dir}
    for number, record in enumerate(made.sandbox.bubble.records["customer_profile"].values()):
        record["Modified Date"] = iso(datetime.now(UTC) - timedelta(days=9, minutes=number))
    made.sandbox.bubble.changed("customer_profile")
    made.sync("bubble/agent", full=True)
    return made


def complete(pipeline: Pipeline) -> tuple[bool, int, int]:
    """Whether the last reading's check passed, what was promised and what was read."""
    assert pipeline.reading is not None
    pipeline.reading.outcome.report = pipeline.load.report if pipeline.load else None
    (found,) = [r for r in checks.results(pipeline.reading) if r.check_name == "reading_complete"]
    outcome = pipeline.reading.outcome
    return bool(found.passed), outcome.promised["customer"], outcome.seen["customer"]


def test_all_that_the_api_counted_was_read_in_one_request_more_for_none(pipeline: Pipeline) -> None:
    total = len(pipeline.sandbox.bubble.records["customer_profile"])
    pipeline.sync("bubble/customer", full=True)
    assert complete(pipeline) == (True, total, total)
    pipeline.sandbox.requests.clear()
    pipeline.sync("bubble/customer")
    assert complete(pipeline) == (True, 0, 0)
    assert len(pipeline.sandbox.requests) == 1


def test_a_record_that_the_api_counts_and_does_not_give_fails_it(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = pipeline.sandbox.bubble
    total = len(store.records["customer_profile"])
    lost = sorted(store.records["customer_profile"].values(), key=lambda record: record["Modified Date"])[150]
    listing = store._list

    def without(name: str, query: Any) -> dict[str, Any]:
        body = listing(name, query)
        return {**body, "results": [record for record in body["results"] if record["_id"] != lost["_id"]]}

    monkeypatch.setattr(store, "_list", without)
    pipeline.sync("bubble/customer", full=True)
    assert complete(pipeline) == (False, total, total - 1)


def test_records_deleted_while_it_reads_are_nobodys_fault(pipeline: Pipeline) -> None:
    store, lock = pipeline.sandbox.bubble, pipeline.sandbox.lock
    ordered = sorted(store.records["customer_profile"].values(), key=lambda record: record["Modified Date"])
    going = iter(ordered[-3:])

    def delete(path: str) -> None:
        if path.endswith("customer_profile") and len(pipeline.sandbox.requests) > before + 1:
            with lock:
                if record := next(going, None):
                    store.remove("customer_profile", record["_id"])

    before = len(pipeline.sandbox.requests)
    pipeline.sandbox.on_request.append(delete)
    pipeline.sync("bubble/customer", full=True)
    passed, promised, read = complete(pipeline)
    assert passed
    assert promised == len(store.records["customer_profile"]) < len(ordered)
    assert read >= promised
