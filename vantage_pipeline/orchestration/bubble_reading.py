"""Bubble readings: since the watermark, a range of days, a period by another date, everything, or given ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import chain

from vantage_pipeline import catalog
from vantage_pipeline.catalog.model import Resource
from vantage_pipeline.errors import SourceNotFound, UsageError
from vantage_pipeline.orchestration.config import By, Mode, SyncConfig
from vantage_pipeline.orchestration.partitions import day_start
from vantage_pipeline.orchestration.pump import Mappers, Progress, batched, limited, told
from vantage_pipeline.orchestration.reading import Reading
from vantage_pipeline.orchestration.related import BATCH, RelatedWriter, Step, listed
from vantage_pipeline.records.model import Page, Record
from vantage_pipeline.settings import Settings
from vantage_pipeline.sources.bubble import BubbleClient
from vantage_pipeline.sources.windows import Window
from vantage_pipeline.warehouse.sink import Sink

_DATE_FIELDS = {By.MODIFIED: "Modified Date", By.CREATED: "Created Date", By.INVOICE_DATE: "Invoice Date"}


class BubbleReading(Reading):
    """One Bubble resource.

    Args:
        window: the days of the run's partitions, ``[from, to)``; None without partitions.
        partition_key: those days as text.
        deferred: tables that the same run reads whole after this one.
    """

    def __init__(
        self,
        resource: Resource,
        settings: Settings,
        config: SyncConfig,
        *,
        window: tuple[datetime, datetime] | None,
        partition_key: str,
        deferred: frozenset[str],
    ) -> None:
        super().__init__(resource, settings, config)
        self._window = window
        self._partition_key = partition_key
        self._deferred = deferred if config.mode is Mode.FULL else frozenset()
        self._period = period_of(resource, config)
        self._client = BubbleClient(settings)
        self.outcome.stats = self._client.session.stats

    @property
    def partition_key(self) -> str:
        return self._partition_key

    def close(self) -> None:
        self._client.close()

    def expected(self, table: str) -> int | None:
        promised, limit = self._client.promised.get(table), self.config.limit
        return promised if promised is None or limit is None else min(promised, limit)

    def fill(self, load: Sink, progress: Progress | None) -> datetime | None:
        began = datetime.now(UTC)
        dataset = self.resource.datasets[0]
        before = load.report.watermark_before
        whole = self.config.mode is Mode.FULL or (self._window is None and before is None)
        related = RelatedWriter(
            self._client,
            load,
            Mappers(load, self.settings),
            self._deferred,
            again=bool(self.config.ids) or self._period is not None,
            only_newer=bool(self.config.ids) and not self.config.force,
        )
        self.outcome.unreadable = related.unreadable
        if self.config.ids:
            self._fill_by_ids(related)
            return None
        windows = self._reading_windows(before, whole=whole)
        pages = chain.from_iterable(self._client.read(dataset, w, limit=self.config.limit) for w in windows)
        self._write(limited(pages, self.config.limit), load, related, progress)
        if self.config.limit is not None or self._period is not None:
            return None
        self.outcome.complete = whole
        if whole:
            # a record that was edited while windows were read side by side may have left one for another
            for page in self._client.by_ids(dataset, load.unseen(dataset.table)):
                related.write(page)
            load.mark_deleted(dataset.table)
        self._hold_to_promise(load, windows[0], untouched_since=self._start(began))
        return self._watermark(began, before, whole=whole)

    def _hold_to_promise(self, load: Sink, window: Window, *, untouched_since: datetime) -> None:
        """Keep for the check what was read, and what the first answer said there was to read, as far as it counts.

        Where less was read, records may have been deleted or have left the window meanwhile. What must have been read
        are those that lie in it still and that nobody has touched since before the reading: they are counted again.
        """
        dataset = self.resource.datasets[0]
        table = dataset.table.name
        promised, seen = self._client.promised.get(table), load.distinct_seen(dataset.table)
        if promised is None:
            return
        if seen < promised:
            end = untouched_since if window.end is None else min(window.end, untouched_since)
            promised = min(promised, self._client.count(dataset, replace(window, end=end)))
        self.outcome.promised[table], self.outcome.seen[table] = promised, seen

    def _reading_windows(self, before: datetime | None, *, whole: bool) -> list[Window]:
        """What is read: with a period by another date also the run's own days, which the UI then shows as read."""
        days = [Window(start=self._window[0], end=self._window[1])] if self._window is not None else []
        if self._period is not None:
            return [self._period, *days]
        return [Window()] if whole else days or [Window(start=before)]

    def _watermark(self, began: datetime, before: datetime | None, *, whole: bool) -> datetime | None:
        """Where the table is complete up to now: moved only by a reading that joins on to what was there."""
        start = self._start(began)
        if whole or self._window is None:
            return start
        if before is None or self._window[0] > before:
            return None
        return min(self._window[1], start)

    def _start(self, began: datetime) -> datetime:
        """When the reading began, by the earlier of both clocks, less the overlap."""
        server = self._client.session.stats.server_clock
        return (min(began, server) if server else began) - timedelta(seconds=self.settings.overlap_seconds)

    def _write(self, pages: Iterable[Page], load: Sink, related: RelatedWriter, progress: Progress | None) -> None:
        for page in batched(told(pages, progress), min(BATCH, self.settings.batch_records)):
            load.report.api_calls = self._client.session.stats.requests
            with_children = self._period is not None and self.resource.name == "invoice"
            related.write(page, self._children(page.records, related) if with_children else ())

    def _fill_by_ids(self, related: RelatedWriter) -> None:
        """Given records with everything they link to; what is not newer is left alone unless forced."""
        dataset = self.resource.datasets[0]
        pages = list(self._client.by_ids(dataset, self.config.ids))
        records = [record for page in pages for record in page.records]
        related.steps.append(Step(f"read {dataset.table.name}", len(records)))
        if records:
            children = self._children(records, related) if self.resource.name == "invoice" else ()
            clean = all(page.clean for page in pages)
            related.write(Page(dataset.table, records, clean, {"ids": len(records)}), children)
        if related.skipped:
            related.steps.append(Step("skipped, not newer", related.skipped))
        self.outcome.extra["skipped"] = related.skipped
        self.outcome.extra["steps"] = [{"action": step.action, "records": step.records} for step in related.steps]
        found = _ids(pages)
        if unknown := [record_id for record_id in self.config.ids if record_id not in found]:
            raise SourceNotFound(
                f"{self.resource.state}: the source has no {dataset.table.name} {', '.join(unknown[:10])}; "
                f"{f'the other {len(records)} were written' if records else 'nothing was written'}; check the id"
            )

    def _children(self, invoices: Sequence[Record], related: RelatedWriter) -> Iterator[Page]:
        """What the invoices' lists name. A payment's id may be that of a submitted payment."""
        yield from self._listed(invoices, "Linked Invoice Item", "invoice_item", related)
        found: set[str] = set()
        for page in self._listed(invoices, "Linked Payment", "payment", related):
            found |= _ids([page])
            yield page
        left = [key for record in invoices for key in listed(record, "Linked Payment") if key not in found]
        submitted = self._client.by_ids(catalog.dataset_of("submitted_payment"), left)
        yield from related.readable("submitted_payment", submitted)

    def _listed(self, invoices: Sequence[Record], name: str, table: str, related: RelatedWriter) -> Iterator[Page]:
        """The records that name one of the invoices, and those that the invoices' lists name besides.

        Most name their invoice, and are found in fewer requests that way.
        """
        dataset = catalog.dataset_of(table)
        lists = {str(record.get("_id")): listed(record, name) for record in invoices}
        expected = {key: len(ids) for key, ids in lists.items()}
        linked = list(related.readable(table, self._client.linked_to(dataset, "Linked Invoice", expected)))
        yield from linked
        found = _ids(linked)
        rest = [key for ids in lists.values() for key in ids if key not in found]
        yield from related.readable(table, self._client.by_ids(dataset, rest))


def _ids(pages: Iterable[Page]) -> set[str]:
    return {str(record.get("_id")) for page in pages for record in page.records}


def period_of(resource: Resource, config: SyncConfig) -> Window | None:
    """The window of `by`, `from_date` and `to_date`.

    Raises:
        UsageError: a date is malformed, from is after to, or the resource has no such date.
    """
    if config.by is By.MODIFIED and not (config.from_date or config.to_date):
        return None
    if config.by is not By.MODIFIED and resource.name != "invoice":
        raise UsageError(
            f"{resource.asset}: only invoices are read by another date; what links to them comes with them"
        )
    first, last = parse_day(config.from_date, "from"), parse_day(config.to_date, "to")
    if first and last and first > last:
        raise UsageError(f"from {first} is after to {last}; swap them")
    return Window(
        field=_DATE_FIELDS[config.by],
        start=day_start(first) if first else None,
        end=day_start(last + timedelta(days=1)) if last else None,
    )


def parse_day(text: str | None, name: str) -> date | None:
    """A day written yyyy-mm-dd.

    Raises:
        UsageError: it is not one.
    """
    if text is None:
        return None
    try:
        if len(text) != len("yyyy-mm-dd"):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{name}: expected a day such as 2026-01-31, got {text!r}") from None
