"""Pages to rows to the warehouse, with the mapping of one batch beside the writing of the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from vantage_pipeline.catalog.model import Table
from vantage_pipeline.records.limits import Limits
from vantage_pipeline.records.mapping import Mapper
from vantage_pipeline.records.model import Page, RowBatch
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse.sink import Sink

_BATCH_BYTES = 16 * 2**20
"""Bytes received in one batch, about; decoded they take several times as much."""
Progress = Callable[[str, int, int], None]
"""Called with the table, pages so far and records so far."""


@dataclass
class Mappers:
    """One mapper a table, made for the column types that the load's database has."""

    load: Sink
    settings: Settings
    _made: dict[str, Mapper] = field(default_factory=dict)

    def of(self, table: Table) -> Mapper:
        if table.name not in self._made:
            self._made[table.name] = Mapper(
                table,
                zone=self.settings.zone,
                types=self.load.types(table),
                limits=Limits(self.settings.max_record_bytes, self.settings.max_nesting),
            )
        return self._made[table.name]

    def rows(self, page: Page) -> RowBatch:
        """The page as rows. What is told of a refused record shows no secret that its source repeats."""
        batch = self.of(page.table).map(page)
        if not batch.rejections:
            return batch
        told = [replace(refused, message=self.settings.mask(refused.message)) for refused in batch.rejections]
        return replace(batch, rejections=told)


def limited(pages: Iterable[Page], limit: int | None) -> Iterator[Page]:
    """The pages up to `limit` records in all."""
    left = limit
    for page in pages:
        if left is not None and len(page.records) >= left:
            yield replace(page, records=page.records[:left])
            return
        yield page
        left = None if left is None else left - len(page.records)


def told(pages: Iterable[Page], progress: Progress | None) -> Iterator[Page]:
    """The pages as they are, told of one by one."""
    records = 0
    for number, page in enumerate(pages, start=1):
        records += len(page.records)
        if progress is not None:
            progress(page.table.name, number, records)
        yield page


def batched(pages: Iterable[Page], size: int) -> Iterator[Page]:
    """Pages joined and cut to batches of `size` records, the last one smaller; a batch is of one table.

    Where records are large, a batch ends earlier, after the page that fills it.
    """
    held: list[Page] = []
    records = received = 0
    for page in pages:
        if held and page.table.name != held[0].table.name:
            yield _joined(held)
            held, records, received = [], 0, 0
        held.append(page)
        records += len(page.records)
        received += page.bytes or 0
        if records >= size or received > _BATCH_BYTES:
            batch = _joined(held)
            whole = records // size * size if received <= _BATCH_BYTES else records
            for start in range(0, whole, size):
                yield replace(batch, records=batch.records[start : min(start + size, whole)])
            rest = batch.records[whole:]
            held = [replace(page, records=rest)] if rest else []
            records, received = len(rest), (page.bytes or 0) if rest else 0
    if records:
        yield _joined(held)


def _joined(pages: Sequence[Page]) -> Page:
    sizes = [page.bytes for page in pages if page.bytes is not None]
    return Page(
        table=pages[0].table,
        records=list(chain.from_iterable(page.records for page in pages)),
        clean=all(page.clean for page in pages),
        position=dict(pages[-1].position),
        bytes=max(sizes) if len(sizes) == len(pages) else None,
    )


def pump(
    pages: Iterable[Page],
    load: Sink,
    mappers: Mappers,
    *,
    batch_records: int,
    progress: Progress | None = None,
) -> None:
    """Map and write all pages. A failure on either side ends the other."""
    waiting: Future[Any] | None = None
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="warehouse") as writer:
        for page in batched(told(pages, progress), batch_records):
            batch = mappers.rows(page)
            if waiting is not None:
                waiting.result()
            waiting = writer.submit(load.write, batch, position=page.position)
        if waiting is not None:
            waiting.result()
