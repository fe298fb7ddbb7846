"""The records that a batch links to: looked up, fetched where they are missing, and written first.

A parent may name parents of its own, and in circles; each id is asked for once in a run. What the source does
not have stays a pending link.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

from vantage_pipeline import catalog
from vantage_pipeline.catalog.model import Resource, Table
from vantage_pipeline.errors import SourceNotFound, SourceRefused
from vantage_pipeline.orchestration.pump import Mappers, batched
from vantage_pipeline.records.model import Page, Record, RowBatch
from vantage_pipeline.sources.bubble import BubbleClient
from vantage_pipeline.sources.bubble_pages import moment_of
from vantage_pipeline.warehouse import lookup
from vantage_pipeline.warehouse.sink import Sink

ID = re.compile(r"\d+x\d+\Z", re.ASCII)
BATCH = 2_000
"""Records in one transaction: fewer than Vantage's, because each batch's parents are looked up first."""
_FETCHES = 16
"""Fetches for one batch; what a longer chain of links names waits for its own sync."""


@dataclass
class Step:
    """One thing that was done for related records, for the report of a single invoice's sync."""

    action: str
    records: int


@dataclass
class RelatedWriter:
    """Writes batches with everything that they link to.

    Args:
        deferred: tables that the same run reads whole later on: their records are not fetched one slice at a
            time now, their links wait.
        again: read what a batch links to although it is there, because it may have changed.
        only_newer: leave a record alone that the table has in the same version or a later one.
    """

    client: BubbleClient
    load: Sink
    mappers: Mappers
    deferred: frozenset[str] = frozenset()
    again: bool = False
    only_newer: bool = False
    unreadable: dict[str, str] = field(default_factory=dict)
    """Tables whose records could not be asked for, and why: the type is unknown, or hidden."""
    skipped: int = 0
    """Of the records given to `write`, those that were left alone."""
    steps: list[Step] = field(default_factory=list)
    _asked: set[tuple[str, str]] = field(default_factory=set)

    def write(self, page: Page, children: Iterable[Page] = ()) -> None:
        """Map a page, write its missing parents, then its rows, then the records that belong to it."""
        own, *below = [(part, self.mappers.rows(part)) for part in (page, *batched(children, BATCH))]
        batches = [batch for _, batch in (own, *below)]
        arriving = {(batch.table.name, key) for batch in batches for key in _keys(batch)} - self._asked
        self._asked |= arriving
        for parents in self._parents(batches):
            self._write(*parents, _owner(parents[0].table))
        written = self._write(*own, None)
        self.skipped += len(page.records) - written
        self.steps.append(Step(f"wrote {page.table.name}", written))
        for part, batch in below:
            self.steps.append(Step(f"wrote {part.table.name}", self._write(part, batch, _owner(part.table))))
        # from now on the table tells of them; a run may have millions
        self._asked -= arriving

    def _write(self, page: Page, batch: RowBatch, owner: Resource | None) -> int:
        """Write those of a page's records that are to be written; gives how many. `owner`: see the sink."""
        chosen = self._chosen(page)
        if chosen.records:
            rows = batch if chosen is page else self.mappers.rows(chosen)
            self.load.write(rows, position=page.position, resource=owner)
        return len(chosen.records)

    def _chosen(self, page: Page) -> Page:
        """The page's records that are to be written."""
        if not self.only_newer:
            return page
        table = page.table
        field = table.column(table.modified).fields[0]
        known = lookup.modified(self.load.connection, table, _ids(page.records))
        kept = [
            record
            for record in page.records
            if (there := known.get(str(record.get("_id")))) is None
            or (changed := moment_of(record, field)) is None
            or changed > there
        ]
        return page if len(kept) == len(page.records) else replace(page, records=kept)

    def _parents(self, batches: Iterable[RowBatch]) -> list[tuple[Page, RowBatch]]:
        """What the batches name, and what that names, as far as it is missing: the last named first.

        A table is asked once all that may name its records are there, so that many records take few requests.
        """
        wanted: dict[str, list[str]] = {}
        for batch in batches:
            self._note(batch, wanted)
        fetched: list[tuple[Page, RowBatch]] = []
        there: set[str] = set()
        for _ in range(_FETCHES):
            while wanted:
                name = _next(wanted)
                if keys := self._missing(name, wanted.pop(name), there, wanted):
                    break
            else:
                break
            pages = batched(self.readable(name, self.client.by_ids(catalog.dataset_of(name), keys)), BATCH)
            found = [(page, self.mappers.rows(page)) for page in pages]
            self.steps.append(Step(f"fetched {name}", sum(len(page.records) for page, _ in found)))
            for page, batch in found:
                there.update(_ids(page.records))
                self._note(batch, wanted)
            if alias := self._alias(name):
                # what is not an agent may be the agent's user
                wanted.setdefault(alias, []).extend(key for key in keys if key not in there)
            fetched[:0] = found
        return fetched

    def readable(self, name: str, pages: Iterable[Page]) -> Iterator[Page]:
        """The pages of a table that others link to; none, and a note, where the app does not let it be read.

        Its own sync fails for that. What links to it does not: its links wait.
        """
        if name in self.unreadable:
            return
        try:
            yield from pages
        except (SourceRefused, SourceNotFound) as error:
            self.unreadable[name] = str(error)

    def _alias(self, name: str) -> str | None:
        """The table whose keys also name records of this one, where it is not read later on."""
        alias = _ALIASES.get(name)
        return None if alias in self.deferred else alias

    def _note(self, batch: RowBatch, wanted: dict[str, list[str]]) -> None:
        """Add the keys that the single links of a batch hold, by table."""
        for column in batch.table.links:
            if column.link is not None and column.link.table not in self.deferred:
                wanted.setdefault(column.link.table, []).extend(key for key in batch.columns[column.name] if key)

    def _missing(
        self, name: str, keys: Iterable[str], fetched: Collection[str], wanted: dict[str, list[str]]
    ) -> list[str]:
        """The ids among `keys` to be asked for, each once in a run. Those that name an alias are moved to it."""
        asking = [
            key
            for key in dict.fromkeys(keys)
            if ID.match(key) and (name, key) not in self._asked and key not in fetched
        ]
        if not self.again:
            there = lookup.present(self.load.connection, catalog.table(name), asking)
            asking = [key for key in asking if key not in there]
        if alias := _ALIASES.get(name):
            known = lookup.present(self.load.connection, catalog.table(alias), asking)
            asking = [key for key in asking if key not in known]
            if self.again and alias not in self.deferred:
                wanted.setdefault(alias, []).extend(known)
        self._asked.update((name, key) for key in asking)
        return asking


def _keys(batch: RowBatch) -> Iterable[str]:
    """The keys of a batch's records, refused ones too."""
    yield from (key for key in batch.columns[batch.table.key] if key)
    yield from (rejection.record_key for rejection in batch.rejections)


def _ids(records: Iterable[Record]) -> list[str]:
    return [str(record.get("_id")) for record in records if isinstance(record, dict)]


def _owner(table: Table) -> Resource:
    return next(r for r in catalog.RESOURCES if r.datasets and table.name in r.tables)


def _next(wanted: Collection[str]) -> str:
    """A table that no other of the wanted names; in a circle, the last in load order."""
    free = [name for name in wanted if not any(name in _NAMED[other] for other in wanted if other != name)]
    return max(free or wanted, key=list(_NAMED).index)


def listed(record: Record, name: str) -> list[str]:
    """The ids in a record's field, which is a list or a single one."""
    value = record.get(name)
    items = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return [item for item in items if isinstance(item, str)]


_ALIASES = {
    link.table: link.alias.table
    for resource in catalog.RESOURCES
    for dataset in resource.datasets
    for column in dataset.table.links
    if (link := column.link) is not None and link.alias is not None
}
"""Tables whose records are also named by the key of another table's row."""
_NAMED = {
    dataset.table.name: {column.link.table for column in dataset.table.links if column.link is not None}
    for resource in catalog.RESOURCES
    for dataset in resource.datasets
}
"""By table, in load order: the tables that its links name."""
