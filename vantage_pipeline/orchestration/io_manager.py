"""The IO manager: takes a reading, loads it into the warehouse, and records the state with the data."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from vantage_pipeline.errors import PipelineError, SourceThrottled
from vantage_pipeline.orchestration import progress
from vantage_pipeline.orchestration.differences import write_differences
from vantage_pipeline.orchestration.load_options import load_options
from vantage_pipeline.orchestration.metadata import describe
from vantage_pipeline.orchestration.pump import Progress
from vantage_pipeline.orchestration.reading import Reading
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse import engine
from vantage_pipeline.warehouse.load import Load
from vantage_pipeline.warehouse.load_report import LoadOptions
from vantage_pipeline.warehouse.state import Run

TRIGGER_TAG = "vantage_pipeline/triggered_by"
_PROGRESS_SECONDS = 5.0
_LONGEST_WAIT = 86_400
"""Seconds after which a sync that was put off is tried again, whatever longer time the API asked for."""


class WarehouseIOManager(dg.IOManager):
    """Merge-upserts a `Reading` into its tables; downstream assets read the tables, so nothing is passed on."""

    def handle_output(self, context: dg.OutputContext, obj: Reading) -> None:
        reading = obj
        settings = reading.settings
        url = engine.database_url(settings)
        started = time.monotonic()
        load = Load(lambda: engine.connect(url), reading.resource, _run_of(context, reading), _options(reading))
        try:
            load.begin()
            watermark = reading.fill(load, _progress(context, reading))
            _count_calls(load, reading)
            report = load.finish(watermark=watermark)
        except BaseException as error:
            _count_calls(load, reading)
            load.fail([as_error(error, settings)])
            raise
        finally:
            reading.close()
        reading.outcome.report = report
        if reading.config.diff_file:
            write_differences(reading.config.diff_file, report.differences)
        reading.outcome.seconds = time.monotonic() - started
        context.add_output_metadata(describe(reading, url))

    def load_input(self, context: dg.InputContext) -> None:
        """Assets read the tables themselves; the graph's edges are order, not data."""


def _count_calls(load: Load, reading: Reading) -> None:
    stats = reading.outcome.stats
    load.report.api_calls, load.report.api_calls_by_status = stats.requests, dict(stats.by_status)


def as_error(error: BaseException, settings: Settings) -> dict[str, Any]:
    """An exception in the form in which the state lists it. Secrets are masked."""
    code = error.code if isinstance(error, PipelineError) else type(error).__name__
    if isinstance(error, (dg.DagsterExecutionInterruptedError, KeyboardInterrupt)):
        code, message = "CANCELLED", "the run was cancelled"
    else:
        message = str(error) or type(error).__name__
    listed: dict[str, Any] = {
        "code": code,
        "message": settings.mask(message),
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    if isinstance(error, SourceThrottled):
        listed["retry_at"] = (datetime.now(UTC) + timedelta(seconds=min(error.retry_after, _LONGEST_WAIT))).isoformat()
    if not isinstance(error, PipelineError) and code != "CANCELLED":
        listed["stack"] = settings.mask("".join(traceback.format_exception(error)))[-4000:]
    return listed


def _run_of(context: dg.OutputContext, reading: Reading) -> Run:
    step = context.step_context
    return Run(
        run_id=context.run_id,
        partition_key=reading.partition_key,
        triggered_by=trigger_of(step.run_tags),
        options=reading.config.model_dump(mode="json", exclude_defaults=True),
    )


def trigger_of(tags: Mapping[str, str]) -> str:
    """Who asked for the run: in our own tag, or in Dagster's."""
    if tags.get(TRIGGER_TAG):
        return tags[TRIGGER_TAG]
    for tag, kind in (("dagster/schedule_name", "schedule"), ("dagster/sensor_name", "sensor")):
        if tag in tags:
            return f"{kind} {tags[tag]}"
    if "dagster/backfill" in tags:
        return f"backfill {tags['dagster/backfill']}"
    return tags.get("user", "dagster")


def _options(reading: Reading) -> LoadOptions:
    settings, config = reading.settings, reading.config
    wait = settings.lock_wait_seconds if config.wait_seconds is None else config.wait_seconds
    return replace(
        load_options(settings),
        dry_run=config.dry_run,
        lock_wait_seconds=wait,
        allow_clearing=frozenset(config.allow_clear),
        allow_deleting=config.allow_delete,
        differences_kept=None if config.diff_file else config.differences,
    )


def _progress(context: dg.OutputContext, reading: Reading) -> Progress:
    """Tells the terminal at once and Dagster's log now and then how far the reading is."""
    last = time.monotonic()

    def tell(table: str, _batches: int, records: int) -> None:
        nonlocal last
        requests = reading.outcome.stats.requests
        progress.tell(progress.Step(reading.resource.asset, table, records, requests, reading.expected(table)))
        if time.monotonic() - last >= _PROGRESS_SECONDS:
            last = time.monotonic()
            context.log.info(f"{reading.resource.asset}: {records} records into {table}, {requests} requests")

    return tell
