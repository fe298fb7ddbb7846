"""The records that a batch links to: looked up, fetched where they are missing, and written first.

A parent may name parents of its own, and in circles; each id is asked for once in a run. What the source does
not have stays a pending link.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from vantage_pipeline import catalog
from vantage_pipeline.catalog.model import Resource, Table
from vantage_pipeline.orchestration.pump import Mappers, batched
from vantage_pipeline.records.model import Page, Record, RowBatch
from vantage_pipeline.sources.bubble import BubbleClient
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
    """

    client: BubbleClient
    load: Sink
    mappers: Mappers
    deferred: frozenset[str] = frozenset()
    steps: list[Step] = field(default_factory=list)
    _asked: set[tuple[str, str]] = field(default_factory=set)

    def write(self, page: Page, children: Iterable[Page] = ()) -> None:
        """Write a page's rows, their missing parents before them, and the records that belong to them after them."""
        batch = self.mappers.rows(page)
        below = [self.mappers.rows(part) for part in batched(children, BATCH)]
        arriving = {(b.table.name, key) for b in (batch, *below) for key in _keys(b)} - self._asked
        self._asked |= arriving
        for parents in self._parents([batch, *below]):
            self.load.write(parents, position=page.position, resource=_owner(parents.table))
        self.load.write(batch, position=page.position)
        self.steps.append(Step(f"wrote {page.table.name}", len(page.records)))
        for part in below:
            self.load.write(part, position=page.position, resource=_owner(part.table))
            self.steps.append(Step(f"wrote {part.table.name}", len(part)))
        # from now on the table tells of them; a run may have millions
        self._asked -= arriving

    def _parents(self, batches: Iterable[RowBatch]) -> list[RowBatch]:
        """What the batches name, and what that names, as far as it is missing: the last named first.

        A table is asked once all that may name its records are there, so that many records take few requests.
        """
        wanted: dict[str, list[str]] = {}
        for batch in batches:
            self._note(batch, wanted)
        fetched: list[RowBatch] = []
        there: set[str] = set()
        for _ in range(_FETCHES):
            while wanted:
                name = _next(wanted)
                if keys := self._missing(catalog.table(name), wanted.pop(name), there):
                    break
            else:
                break
            found = self._fetch(name, keys)
            there.update(key for batch in found for key in _keys(batch))
            for batch in found:
                self._note(batch, wanted)
            alias = _ALIASES.get(name)
            if alias is not None and alias not in self.deferred:
                # what is not an agent may be the agent's user
                wanted.setdefault(alias, []).extend(key for key in keys if key not in there)
            fetched[:0] = found
        return fetched

    def _note(self, batch: RowBatch, wanted: dict[str, list[str]]) -> None:
        """Add the keys that the single links of a batch hold, by table."""
        for column in batch.table.links:
            if column.link is not None and column.link.table not in self.deferred:
                wanted.setdefault(column.link.table, []).extend(key for key in batch.columns[column.name] if key)

    def _missing(self, table: Table, keys: Iterable[str], fetched: Collection[str]) -> list[str]:
        """The ids among `keys` that no row has and that were not asked for yet; they count as asked now."""
        wanted = [
            key
            for key in dict.fromkeys(keys)
            if ID.match(key) and (table.name, key) not in self._asked and key not in fetched
        ]
        there = lookup.present(self.load.connection, table, wanted)
        if alias := _ALIASES.get(table.name):
            rest = [key for key in wanted if key not in there]
            there |= lookup.present(self.load.connection, catalog.table(alias), rest)
        missing = [key for key in wanted if key not in there]
        self._asked.update((table.name, key) for key in missing)
        return missing

    def _fetch(self, table: str, keys: Sequence[str]) -> list[RowBatch]:
        pages = batched(self.client.by_ids(catalog.dataset_of(table), keys), BATCH)
        found = [self.mappers.rows(page) for page in pages]
        self.steps.append(Step(f"fetched {table}", sum(map(len, found))))
        return found


def _keys(batch: RowBatch) -> Iterable[str]:
    """The keys of a batch's records, refused ones too."""
    yield from (key for key in batch.columns[batch.table.key] if key)
    yield from (rejection.record_key for rejection in batch.rejections)


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
