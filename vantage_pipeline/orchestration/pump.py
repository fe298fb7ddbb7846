"""Pages to rows to the warehouse, with the mapping of one batch beside the writing of the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from vantage_pipeline.catalog.model import Table
from vantage_pipeline.records.mapping import Limits, Mapper
from vantage_pipeline.records.model import Page, Record, RowBatch
from vantage_pipeline.settings import Settings
from vantage_pipeline.warehouse.sink import Sink

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


def limited(pages: Iterable[Page], limit: int | None) -> Iterator[Page]:
    """The pages up to `limit` records in all."""
    left = limit
    for page in pages:
        if left is not None and len(page.records) >= left:
            yield Page(page.table, page.records[:left], page.clean, page.position)
            return
        yield page
        left = None if left is None else left - len(page.records)


def batched(pages: Iterable[Page], size: int) -> Iterator[Page]:
    """Pages joined and cut to batches of `size` records, the last one smaller; a batch is of one table."""
    records: list[Record] = []
    table: Table | None = None
    clean, position = True, dict[str, Any]()
    for page in pages:
        if table is not None and page.table.name != table.name:
            if records:
                yield Page(table, records, clean, position)
            records, clean = [], True
        table, clean, position = page.table, clean and page.clean, dict(page.position)
        records.extend(page.records)
        while len(records) >= size:
            yield Page(table, records[:size], clean, position)
            records = records[size:]
            clean = page.clean
    if table is not None and records:
        yield Page(table, records, clean, position)


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
    read = 0
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="warehouse") as writer:
        for number, page in enumerate(batched(pages, batch_records), start=1):
            batch: RowBatch = mappers.of(page.table).map(page)
            if waiting is not None:
                waiting.result()
            waiting = writer.submit(load.write, batch, position=page.position)
            read += len(page.records)
            if progress is not None:
                progress(page.table.name, number, read)
        if waiting is not None:
            waiting.result()
