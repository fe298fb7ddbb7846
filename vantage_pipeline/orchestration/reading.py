"""What an asset hands to the IO manager: a reading that has not begun, and knows how to fill a load."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from vantage_pipeline.catalog.model import Resource
from vantage_pipeline.errors import SourceProtocolError
from vantage_pipeline.orchestration.config import Mode, SyncConfig
from vantage_pipeline.orchestration.pump import Mappers, Progress, pump
from vantage_pipeline.settings import Settings
from vantage_pipeline.sources.http import SourceStats
from vantage_pipeline.sources.vantage import VantageClient
from vantage_pipeline.warehouse.derivations import DERIVATIONS
from vantage_pipeline.warehouse.load_report import LoadReport
from vantage_pipeline.warehouse.sink import Sink

_READINGS = 3
"""How often a reading that turned out incomplete is done again."""


@dataclass
class Outcome:
    """What became of a reading: for the metadata and the checks, after the IO manager has loaded it."""

    report: LoadReport | None = None
    stats: SourceStats = field(default_factory=SourceStats)
    promised: dict[str, int] = field(default_factory=dict)
    """What the API said it had, by table."""
    seen: dict[str, int] = field(default_factory=dict)
    """Different keys that were read, by table."""
    complete: bool = False
    """Whether everything there is was read."""
    seconds: float = 0.0
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Tables that its records link to and that could not be read, and why."""
    extra: dict[str, Any] = field(default_factory=dict)
    told: Mapping[str, Any] = field(default_factory=dict)
    """The metadata of the event that Dagster logs."""


class Reading(ABC):
    """A sync about to happen. `fill` does it and gives the new watermark."""

    def __init__(self, resource: Resource, settings: Settings, config: SyncConfig) -> None:
        self.resource = resource
        self.settings = settings
        self.config = config
        self.outcome = Outcome()

    @property
    def partition_key(self) -> str:
        """The partition, or range of them, that this reading is of."""
        return ""

    @abstractmethod
    def fill(self, load: Sink, progress: Progress | None) -> datetime | None:
        """Read everything asked for into `load`; None leaves the watermark where it is."""

    def expected(self, _table: str) -> int | None:
        """How many records the source said it has for a table; None where it has not said."""
        return None

    def close(self) -> None:  # noqa: B027 - most readings hold something, derived ones do not
        """Free what the reading holds."""


class DerivedReading(Reading):
    """A resource that one SQL statement makes from the tables."""

    def fill(self, load: Sink, _progress: Progress | None) -> datetime | None:
        began = datetime.now(UTC)
        load.run_sql(DERIVATIONS[self.resource.derivation or ""])
        self.outcome.complete = True
        return began


class VantageReading(Reading):
    """A Vantage resource: changed since the watermark, or everything."""

    def __init__(self, resource: Resource, settings: Settings, config: SyncConfig) -> None:
        super().__init__(resource, settings, config)
        self._client = VantageClient(settings)
        self.outcome.stats = self._client.session.stats

    def close(self) -> None:
        self._client.close()

    def expected(self, table: str) -> int | None:
        promise, limit = self._client.promises.get(table), self.config.limit
        if promise is None or promise.total is None or limit is None:
            return promise.total if promise else None
        return min(promise.total, limit)

    def fill(self, load: Sink, progress: Progress | None) -> datetime | None:
        began = datetime.now(UTC)
        before = load.report.watermark_before
        full = self.config.mode is Mode.FULL or before is None
        mappers = Mappers(load, self.settings)
        since = None if full else before
        if self.config.limit is not None:
            self._read_some(load, mappers, since, self.config.limit, progress)
            return None
        for dataset in self.resource.datasets:
            self._read_completely(load, dataset.table.name, mappers, since, progress)
            load.report.api_calls = self._client.session.stats.requests
        self.outcome.complete = full
        if full:
            for dataset in self.resource.datasets:
                load.mark_deleted(dataset.table)
        server = self._client.session.stats.server_clock
        start = min(began, server) if server else began
        return start - timedelta(seconds=self.settings.overlap_seconds)

    def _read_some(
        self, load: Sink, mappers: Mappers, since: datetime | None, limit: int, progress: Progress | None
    ) -> None:
        """Read `limit` records of the resource at most: what its first collection leaves is the next one's."""
        for dataset in self.resource.datasets:
            left = limit - load.report.fetched
            if left > 0:
                pages = self._client.read(dataset, since=since, limit=left)
                pump(pages, load, mappers, batch_records=self.settings.batch_records, progress=progress)
                load.report.api_calls = self._client.session.stats.requests

    def _read_completely(
        self, load: Sink, table: str, mappers: Mappers, since: datetime | None, progress: Progress | None
    ) -> None:
        """Read a collection, again if it moved under the reading so that records may have been passed over."""
        dataset = next(d for d in self.resource.datasets if d.table.name == table)
        for _ in range(_READINGS):
            self._client.promises.pop(table, None)
            pages = self._client.read(dataset, since=since)
            pump(pages, load, mappers, batch_records=self.settings.batch_records, progress=progress)
            promise = self._client.promises.get(table)
            if promise is None or promise.total is None:
                return
            seen = load.distinct_seen(dataset.table)
            self.outcome.promised[table], self.outcome.seen[table] = promise.total, seen
            if seen >= promise.total and not promise.moved:
                return
        promise = self._client.promises[table]
        if promise.total is not None and self.outcome.seen[table] < promise.total:
            raise SourceProtocolError(
                f"{self.resource.state}: the API says it has {promise.total} {table} records, and {_READINGS} readings "
                f"found {self.outcome.seen[table]} different ones; nothing was marked as synced; run it again later"
            )
