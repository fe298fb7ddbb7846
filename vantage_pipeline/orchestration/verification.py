"""Verification: each system read in full beside its tables and compared with them, and repair of what differs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from vantage_pipeline.catalog import RESOURCES
from vantage_pipeline.catalog.model import Resource, Table
from vantage_pipeline.orchestration.bubble_reading import BubbleReading
from vantage_pipeline.orchestration.config import Mode, SyncConfig
from vantage_pipeline.orchestration.progress import Teller
from vantage_pipeline.orchestration.reading import DerivedReading, Reading, VantageReading
from vantage_pipeline.orchestration.repair import Repaired, repair_derived, repair_records
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse import constraints, engine, refusals, state
from vantage_pipeline.warehouse.comparison import Moment
from vantage_pipeline.warehouse.gathering import Gathering, Workspace
from vantage_pipeline.warehouse.state import Run
from vantage_pipeline.warehouse.verdict import Verdict
from vantage_pipeline.warehouse.verification import compare

SHOWN = 200
"""Differences of a resource that are listed; all are counted."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verification found, and after a repair what is left. `before`: the verdicts that led to the repair."""

    verdicts: tuple[Verdict, ...]
    before: tuple[Verdict, ...] = ()
    repaired: tuple[Repaired, ...] = ()
    api_calls: int = 0
    seconds: float = 0.0

    @property
    def equal(self) -> bool:
        return all(verdict.equal for verdict in self.verdicts)


def verify(settings: Settings, resources: Sequence[Resource], *, mend: Run | None = None) -> Verification:
    """Compare resources of one system with their source, both ways.

    Rows, state and watermarks stay as they are, and no sync is turned away or kept waiting meanwhile.

    Args:
        mend: the run that repairs what differs; the resources are then compared again, and foreign keys that rows
            used to break are validated where none does any more. None compares only.

    Raises:
        PipelineError: the source could not be read to its end, or the database did not answer.
    """
    started = time.monotonic()
    url = engine.database_url(settings)
    connection = engine.connect(url)
    repaired: tuple[Repaired, ...] = ()
    try:
        with refusals.explaining(f"{resources[0].system}/verification"):
            found = _Comparison(settings, Workspace.open(connection, _tables(resources[0].system)))
            verdicts = found.verdicts(resources)
        if mend is not None and not all(verdict.equal for verdict in verdicts):
            repaired = _repair(settings, found, resources, verdicts, mend)
        if mend is not None:
            connection.rollback()
            constraints.validate_mended(connection)
    finally:
        connection.close()
    done = Verification(tuple(verdicts), repaired=repaired, api_calls=found.api_calls)
    if repaired:
        again = verify(settings, resources)
        done = replace(again, before=done.verdicts, repaired=repaired, api_calls=done.api_calls + again.api_calls)
    return replace(done, seconds=time.monotonic() - started)


class _Comparison:
    """One comparison and its session."""

    def __init__(self, settings: Settings, workspace: Workspace) -> None:
        self._settings = settings
        self.workspace = workspace
        self.moments: dict[str, Moment] = {}
        self.api_calls = 0

    def verdicts(self, resources: Sequence[Resource]) -> list[Verdict]:
        """Read all, then compare all: a link may lead to a resource that is read later."""
        read = [resource for resource in resources if resource.datasets]
        for resource in read:
            self._gather(resource)
        tables = _tables(resources[0].system)
        compared = compare(self.workspace, tables, self.moments, read, shown=SHOWN)
        found = {verdict.resource: verdict for verdict in compared}
        for resource in resources:
            if resource.derivation is not None:
                verdict = self._gather(resource).rederived
                if verdict is not None:
                    found[resource.asset] = verdict
        return [found[resource.asset] for resource in resources]

    def _gather(self, resource: Resource) -> Gathering:
        reading = _reading(resource, self._settings)
        gathering = Gathering(self.workspace, resource, shown=SHOWN, mask=self._settings.mask)
        watermark = state.watermark(self.workspace.connection, resource.state)
        self.moments[resource.state] = Moment(gathering.began, settled(watermark, self._settings.overlap_seconds))
        try:
            reading.fill(gathering, _teller(reading))
        finally:
            reading.close()
        self.api_calls += reading.outcome.stats.requests
        return gathering


def settled(watermark: datetime | None, overlap_seconds: int) -> datetime | None:
    """Up to when the source's changes are here for sure.

    A watermark lies an overlap before the start of the reading that set it, except that of a range of days, which
    is the end of a day. Sources tell times to the second.
    """
    if watermark is None or (watermark.timestamp() % 86_400) == 0:
        return watermark
    return (watermark + timedelta(seconds=overlap_seconds)).replace(microsecond=0)


def _repair(
    settings: Settings, found: _Comparison, resources: Sequence[Resource], verdicts: Sequence[Verdict], run: Run
) -> tuple[Repaired, ...]:
    """Mend the records in load order, then what is derived from them."""
    done = [
        repair_records(settings, resource, found.workspace, found.moments[resource.state].began, run)
        for resource, verdict in zip(resources, verdicts, strict=True)
        if resource.datasets and verdict.differing
    ]
    derived = [resource for resource in resources if resource.derivation is not None]
    unequal = {verdict.resource for verdict in verdicts if not verdict.equal}
    done += [repair_derived(settings, resource, run) for resource in derived if done or resource.asset in unequal]
    return tuple(done)


def _tables(system: str) -> list[Table]:
    return [dataset.table for resource in RESOURCES if resource.system == system for dataset in resource.datasets]


def _reading(resource: Resource, settings: Settings) -> Reading:
    """The reading of everything a resource has, without the records that it links to."""
    config = SyncConfig(mode=Mode.FULL)
    if resource.derivation is not None:
        return DerivedReading(resource, settings, config)
    if resource.system == "vantage":
        return VantageReading(resource, settings, config)
    others = frozenset(table.name for table in _tables(resource.system))
    return BubbleReading(resource, settings, config, window=None, partition_key="", deferred=others)


def _teller(reading: Reading) -> Teller:
    return Teller(reading.resource.asset, lambda: reading.outcome.stats.requests, reading.expected)
