"""The IO manager: takes a reading, loads it into the warehouse, and records the state with the data."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from dagster._core.storage.tags import RETRY_NUMBER_TAG

from vantage_pipeline.errors import PipelineError, SourceThrottled
from vantage_pipeline.orchestration.differences import DifferenceFiles
from vantage_pipeline.orchestration.load_options import load_options
from vantage_pipeline.orchestration.metadata import describe
from vantage_pipeline.orchestration.progress import Teller
from vantage_pipeline.orchestration.reading import Reading
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse import engine
from vantage_pipeline.warehouse.load import Load
from vantage_pipeline.warehouse.load_report import LoadOptions
from vantage_pipeline.warehouse.rehearsal import Rehearsal
from vantage_pipeline.warehouse.state import Run

TRIGGER_TAG = "vantage_pipeline/triggered_by"
_LONGEST_WAIT = 86_400
"""Seconds after which a sync that was put off is tried again, whatever longer time the API asked for."""


class WarehouseIOManager(dg.IOManager):
    """Merge-upserts a `Reading` into its tables; downstream assets read the tables, so nothing is passed on.

    The dry runs that one manager is given share one transaction, which ends with it, or before something is written.
    """

    def __init__(self) -> None:
        self._rehearsal = Rehearsal()
        self._files = DifferenceFiles()

    def close(self) -> None:
        """Undo the dry runs, and give their resources free."""
        self._rehearsal.close()

    def handle_output(self, context: dg.OutputContext, obj: Reading) -> None:
        reading = obj
        settings = reading.settings
        url = engine.database_url(settings)
        started = time.monotonic()
        file = reading.config.diff_file if reading.config.dry_run else None
        if file is not None:
            self._files.begin(file)
        if not reading.config.dry_run:
            self._rehearsal.close()
        load = Load(
            lambda: engine.connect(url),
            reading.resource,
            _run_of(context, reading),
            _options(reading),
            self._rehearsal,
        )
        try:
            load.begin()
            watermark = reading.fill(load, _progress(context, reading))
            _count_calls(load, reading)
            report = load.finish(watermark=watermark)
        except BaseException as error:
            _count_calls(load, reading)
            load.fail([as_error(error, settings)], cancelled=is_cancel(error))
            raise
        finally:
            if file is not None:
                self._files.add(file, reading.resource.asset, load.report.differences)
            reading.close()
        reading.outcome.report = report
        reading.outcome.seconds = time.monotonic() - started
        reading.outcome.told = describe(reading, url)
        if not reading.config.dry_run:
            context.add_output_metadata(reading.outcome.told)

    def load_input(self, context: dg.InputContext) -> None:
        """Assets read the tables themselves; the graph's edges are order, not data."""


@dg.io_manager(description=WarehouseIOManager.__doc__)  # type: ignore[arg-type]  # Dagster takes generators, too
def warehouse_io_manager(_context: dg.InitResourceContext) -> Iterator[WarehouseIOManager]:
    """A manager for each run; however the run ends, its dry runs are undone."""
    with closing(WarehouseIOManager()) as manager:
        yield manager


def _count_calls(load: Load, reading: Reading) -> None:
    stats = reading.outcome.stats
    load.report.api_calls, load.report.api_calls_by_status = stats.requests, dict(stats.by_status)
    load.report.retries = stats.retries


def is_cancel(error: BaseException) -> bool:
    """Whether somebody ended the run: in the UI, by a signal, or by Ctrl-C on the command line."""
    return isinstance(error, (dg.DagsterExecutionInterruptedError, KeyboardInterrupt))


def as_error(error: BaseException, settings: Settings) -> dict[str, Any]:
    """An exception in the form in which the state lists it. Secrets are masked."""
    code = error.code if isinstance(error, PipelineError) else type(error).__name__
    if is_cancel(error):
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
        options=reading.config.given(),
        partial=reading.config.partial,
        attempt=attempt_of(step.run_tags),
    )


def attempt_of(tags: Mapping[str, str]) -> int:
    """1 for a run that was asked for, more for those with which Dagster tries it again."""
    return int(tags.get(RETRY_NUMBER_TAG, "0")) + 1


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


def _progress(context: dg.OutputContext, reading: Reading) -> Teller:
    """Tells the terminal at once and Dagster's log now and then how far the reading is."""
    stats = reading.outcome.stats
    return Teller(reading.resource.asset, lambda: stats.requests, reading.expected, context.log.info)
