"""The records that a batch links to: looked up, fetched where they are missing, and written first.

A parent may name parents of its own, and in circles; each id is asked for once in a run. What the source does
not have stays a pending link.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vantage_pipeline import catalog
from vantage_pipeline.catalog.model import Table
from vantage_pipeline.orchestration.pump import Mappers
from vantage_pipeline.records.model import Page, Record, RowBatch
from vantage_pipeline.sources.bubble import BubbleClient
from vantage_pipeline.warehouse import lookup
from vantage_pipeline.warehouse.merge import MergeCounts
from vantage_pipeline.warehouse.sink import Sink

ID = re.compile(r"\d+x\d+\Z", re.ASCII)
_DEPTH = 6


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

    def write(self, page: Page, *, own: bool = True, depth: int = 0) -> MergeCounts:
        """Map a page, write its missing parents, then its rows."""
        batch = self.mappers.rows(page)
        arriving = {(page.table.name, key) for key in batch.columns[page.table.key] if key} - self._asked
        self._asked |= arriving
        if depth < _DEPTH:
            for parent, keys in self._named(batch).items():
                self._fetch(parent, keys, depth)
        resource = None if own else next(r for r in catalog.RESOURCES if page.table.name in r.tables and r.datasets)
        counts = self.load.write(batch, position=page.position, resource=resource)
        # from now on the table tells of them; a run may have millions
        self._asked -= arriving
        return counts

    def write_children(self, pages: Iterable[Page]) -> None:
        """Write records that belong to the batch just written, with their own parents."""
        for page in pages:
            self.write(page, own=False)
            self.steps.append(Step(f"wrote {page.table.name}", len(page.records)))

    def missing(self, table: Table, keys: Iterable[str]) -> list[str]:
        """The ids among `keys` that are neither in the table nor asked for yet; they count as asked now."""
        wanted = [key for key in dict.fromkeys(keys) if ID.match(key) and (table.name, key) not in self._asked]
        there = lookup.present(self.load.connection, table, wanted)
        missing = [key for key in wanted if key not in there]
        self._asked.update((table.name, key) for key in missing)
        return missing

    def _named(self, batch: RowBatch) -> Mapping[str, list[str]]:
        """Parents' keys by table, from the single links of a batch."""
        named: dict[str, list[str]] = {}
        for column in batch.table.links:
            if column.link is None or column.link.table in self.deferred:
                continue
            keys = [key for key in batch.columns[column.name] if key]
            named.setdefault(column.link.table, []).extend(keys)
        return named

    def _fetch(self, parent: str, keys: Sequence[str], depth: int) -> None:
        dataset = catalog.dataset_of(parent)
        wanted = self.missing(dataset.table, keys)
        if not wanted:
            return
        found = self._write_all(parent, wanted, depth)
        aliased = next((link.alias for _, _, link in catalog.links_to(parent) if link.alias), None)
        left = [key for key in wanted if key not in found]
        if aliased is not None and left and aliased.table not in self.deferred:
            # what is not an agent may be the agent's user
            users = catalog.dataset_of(aliased.table)
            unknown = self.missing(users.table, left)
            if unknown:
                self._write_all(aliased.table, unknown, depth)

    def _write_all(self, table: str, keys: Sequence[str], depth: int) -> set[str]:
        found: set[str] = set()
        for page in self.client.by_ids(catalog.dataset_of(table), keys):
            self.write(page, own=False, depth=depth + 1)
            found.update(_ids(page.records))
        self.steps.append(Step(f"fetched {table}", len(found)))
        return found


def _ids(records: Sequence[Record]) -> Iterable[str]:
    return (str(record.get("_id")) for record in records if isinstance(record, dict))


def children_of(invoices: Sequence[Record]) -> dict[str, list[str]]:
    """The ids in the invoices' lists, by the table they are most likely in."""
    lists: dict[str, list[str]] = {"payment": [], "invoice_item": []}
    for record in invoices:
        for table, name in (("payment", "Linked Payment"), ("invoice_item", "Linked Invoice Item")):
            value = record.get(name)
            items = [value] if isinstance(value, str) else value if isinstance(value, list) else []
            lists[table].extend(item for item in items if isinstance(item, str))
    return lists
