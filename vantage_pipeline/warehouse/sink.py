"""Where a reading's batches go: into the tables (`load`), or beside them to be compared (`gathering`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline.catalog.model import Resource, Table
from vantage_pipeline.records.model import RowBatch
from vantage_pipeline.records.plans import ColumnType
from vantage_pipeline.warehouse.load_report import LoadReport
from vantage_pipeline.warehouse.merge import MergeCounts


class Sink(Protocol):
    """What a reading needs of the place that it fills."""

    report: LoadReport

    @property
    def connection(self) -> Connection: ...

    def types(self, table: Table) -> dict[str, ColumnType]:
        """The table's column types in this database, for the mapping."""

    def write(
        self, batch: RowBatch, *, position: Mapping[str, Any] | None = None, resource: Resource | None = None
    ) -> MergeCounts:
        """Take one batch, whole or not at all."""

    def distinct_seen(self, table: Table) -> int:
        """How many different keys of `table` were written, rejected ones included."""

    def unseen(self, table: Table, /) -> list[str]:
        """Keys of `table` that may be gone from the source, to be asked for before `mark_deleted`."""

    def mark_deleted(self, table: Table) -> int:
        """Everything of `table` was written: what was not is gone from the source."""

    def run_sql(self, work: Callable[[Cursor], MergeCounts]) -> MergeCounts:
        """Run a derivation in one transaction and count it."""
