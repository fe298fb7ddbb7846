"""One sync of one resource into the warehouse: lock, start, batches, end.

Each batch is one transaction with its rows, its rejected records, its pending links and its checkpoint; the
last transaction also holds the watermark and the state. A dry run does the same in a single transaction that
is rolled back, which its resources may share (`rehearsal`), and leaves the state alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline.catalog.model import Resource, Table
from vantage_pipeline.errors import DatabaseUnreachable, WarehouseError
from vantage_pipeline.records.model import Rejection, RowBatch
from vantage_pipeline.records.plans import ColumnType
from vantage_pipeline.warehouse import (
    constraints,
    deletion,
    guard,
    pending,
    quarantine,
    refusals,
    sightings,
    staging,
    state,
    tables,
)
from vantage_pipeline.warehouse.crash_points import reached
from vantage_pipeline.warehouse.differences import Differences
from vantage_pipeline.warehouse.foreseen import Foresight
from vantage_pipeline.warehouse.guard import HeldBack
from vantage_pipeline.warehouse.load_report import LoadOptions, LoadReport
from vantage_pipeline.warehouse.merge import Merge, MergeCounts
from vantage_pipeline.warehouse.rehearsal import Rehearsal
from vantage_pipeline.warehouse.session import Session
from vantage_pipeline.warehouse.state import Run


class Load:
    """A running load. `begin` first, then `write` for each batch, then `finish` or `fail`.

    Args:
        connect: makes a connection.
        rehearsal: the transaction that a dry run takes part in; without it, it has one of its own.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        resource: Resource,
        run: Run,
        options: LoadOptions | None = None,
        rehearsal: Rehearsal | None = None,
    ) -> None:
        self._options = options or LoadOptions()
        self._session = Session(connect, resource.state, self._options, rehearsal)
        self._resource = resource
        self._run = run
        self._merges: dict[str, Merge] = {}
        self._types: dict[str, dict[str, ColumnType]] = {}
        self._quarantined_keys: dict[tuple[str, str], set[str]] = {}
        self._fields: dict[str, Counter[str]] = {}
        self._guard = guard.ClearGuard(self._options)
        self._began = datetime.max.replace(tzinfo=UTC)
        self.report = LoadReport(resource.state, differences=Differences(self._options.differences_kept))
        self._foresight = Foresight(self.report) if self.dry_run else None

    @property
    def connection(self) -> Connection:
        return self._session.connection

    @property
    def dry_run(self) -> bool:
        return self._options.dry_run

    def begin(self) -> None:
        """Take the resource's lock and record that the sync runs.

        Raises:
            SyncAlreadyRunning: another sync of the resource runs.
            MigrationsMissing: the resource's tables are not as a sync needs them.
        """
        with refusals.explaining(self._resource.state):
            self._session.acquire()
            reached("begin.locked")
            self.report.watermark_before = state.watermark(self.connection, self._resource.state)
            self._began = state.clock(self.connection)
            for dataset in self._resource.datasets:
                self._prepare(dataset.table)
            with self.connection.cursor() as cursor:
                state.keep_changes(cursor, self._options.change_history)
                state.announce(cursor, self._run, {"watermark_before": self.report.watermark_before})
                if not self.dry_run:
                    state.start(cursor, self._resource.state)
            reached("begin.written")
            self._session.commit()
            reached("begin.committed")

    def types(self, table: Table) -> dict[str, ColumnType]:
        """The table's column types in this database, for the mapping."""
        self._prepare(table)
        return self._types[table.name]

    def write(
        self, batch: RowBatch, *, position: Mapping[str, Any] | None = None, resource: Resource | None = None
    ) -> MergeCounts:
        """Merge one batch, with everything that belongs to it, in one transaction.

        A row that PostgreSQL refuses is looked for by halving, and goes into quarantine; the others go in without it.

        Args:
            batch: the rows and rejections of one table.
            position: where the reading stands, for the checkpoint.
            resource: whose records they are, where they are not this load's own (parents fetched by id).

        Raises:
            TooManyRejections: the share of rejected records is past the limit; what was good stays.
        """
        try:
            return self._write(batch, position, resource)
        except WarehouseError as error:
            if not len(batch) or not refusals.of_the_data(error):
                raise
            if len(batch) == 1:
                return self._write(refusals.refused(batch, error, self._options.mask), position, resource)
        counts = MergeCounts()
        for half in refusals.halves(batch):
            counts = counts + self.write(half, position=position, resource=resource)
        return counts

    def _write(self, batch: RowBatch, position: Mapping[str, Any] | None, resource: Resource | None) -> MergeCounts:
        own = resource is None or resource.state == self._resource.state
        owner = resource or self._resource
        self._prepare(batch.table)
        quarantined = self._quarantined(batch.table, owner)

        def attempt(cursor: Cursor) -> tuple[MergeCounts, list[Rejection], list[HeldBack], guard.Tallies, int]:
            if self._foresight is not None:
                self._foresight.begin()
            staging.fill(cursor, batch)
            reached("batch.staged")
            merge = self._merges[batch.table.name]
            rejections = [*batch.rejections, *refusals.foreign(cursor, merge, batch)]
            held, tallies = self._guard.judge(cursor, merge, batch)
            for item in held:
                guard.record(cursor, item, run_id=self._run.run_id, resource=owner.state)
            columns = [item.column for item in held]
            if self._foresight is not None:
                self._foresight.rows(cursor, merge, columns)
            merge.drop_repairs(cursor)
            counts = merge.run(cursor, held=columns)
            if counts.dangling or pending.any_of(cursor, batch.table):
                merge.note_pending(cursor, resource=owner.state, run_id=self._run.run_id)
            if self._foresight is not None:
                self._foresight.links(cursor, batch.table, dangling=bool(counts.dangling))
            filled = pending.complete(cursor, batch.table, resource=owner.state, run_id=self._run.run_id)
            quarantine.settle(
                cursor,
                quarantined,
                batch,
                rejections,
                resource=owner.state,
                run_id=self._run.run_id,
            )
            if own:
                deletion.mark_seen(cursor, batch, rejections)
                if not self.dry_run:
                    state.checkpoint(cursor, self._resource.state, self.report.checkpoint(batch, counts, position))
            return counts, rejections, held, tallies, filled

        counts, rejections, held, tallies, filled = self._session.transaction("batch", attempt)
        self._guard.keep(tallies)
        self._fields.setdefault(batch.table.name, Counter()).update(batch.fields)
        self.report.count(batch, counts, rejections, own=own)
        quarantined |= {rejection.record_key for rejection in rejections}
        self.report.held_back = guard.joined([*self.report.held_back, *held])
        self.report.links_filled += filled
        if self._foresight is not None:
            self._foresight.keep(rejections)
        if own:
            refusals.check_share(self.report, self._options, final=False)
        return counts

    def distinct_seen(self, table: Table) -> int:
        """How many different keys of `table` this load has seen, rejected ones included."""
        return self._session.read(lambda cursor: deletion.count_seen(cursor, table))

    def unseen(self, table: Table) -> list[str]:
        """Keys of `table` that are here and that this load has not seen, unless there are too many to be marked."""
        return self._session.read(
            lambda cursor: deletion.unseen(cursor, table, self._options, resource=self._resource.state)
        )

    def mark_deleted(self, table: Table) -> int:
        """Mark the rows whose keys this load has not seen. Only after a complete reading of everything."""

        def attempt(cursor: Cursor) -> tuple[list[str], HeldBack | None]:
            quarantine.resolve_unseen(cursor, resource=self._resource.state, table=table.name)
            return deletion.mark_missing(
                cursor,
                table,
                self._options,
                untouched_since=self._began,
                run_id=self._run.run_id,
                resource=self._resource.state,
            )

        return self._mark_deleted(table, attempt)

    def mark_keys_deleted(self, table: Table, keys: Sequence[str], *, untouched_since: datetime) -> int:
        """Mark the rows with these keys, except those that a sync has written since."""

        def attempt(cursor: Cursor) -> tuple[list[str], HeldBack | None]:
            return deletion.mark_keys(
                cursor,
                table,
                keys,
                self._options,
                untouched_since=untouched_since,
                run_id=self._run.run_id,
                resource=self._resource.state,
            )

        return self._mark_deleted(table, attempt)

    def hold_back(self, held: HeldBack) -> None:
        """Record and report what is not done because it is too much at once."""
        self._session.transaction(
            "deletion",
            lambda cursor: guard.record(cursor, held, run_id=self._run.run_id, resource=self._resource.state),
        )
        self.report.held_back.append(held)

    def _mark_deleted(self, table: Table, attempt: Callable[[Cursor], tuple[list[str], HeldBack | None]]) -> int:
        deleted, held = self._session.transaction("deletion", attempt)
        self.report.deleted += len(deleted)
        if held is not None:
            self.report.held_back.append(held)
        if self._foresight is not None:
            self._foresight.deleted(table, deleted)
        return len(deleted)

    def run_sql(self, work: Callable[[Cursor], MergeCounts]) -> MergeCounts:
        """Run a derivation in one transaction and count it."""

        def attempt(cursor: Cursor) -> MergeCounts:
            if self._foresight is None:
                return work(cursor)
            self._foresight.begin()
            return self._foresight.derivation(cursor, self._resource, work)

        counts = self._session.transaction("derivation", attempt)
        if self._foresight is not None:
            self._foresight.keep()
        self.report.counts = self.report.counts + counts
        self.report.deleted += counts.deleted
        self.report.fetched += counts.created + counts.updated + counts.unchanged
        return counts

    def finish(self, *, watermark: datetime | None) -> LoadReport:
        """Record the success, with the watermark, in one transaction.

        Raises:
            TooManyRejections: see `write`.
        """
        refusals.check_share(self.report, self._options, final=True)
        report = self.report

        def attempt(cursor: Cursor) -> datetime | None:
            for table, fields in self._fields.items():
                sightings.record(cursor, resource=self._resource.state, table=table, fields=fields)
            errors = [*(r.as_error() for r in report.rejections), *(h.as_error() for h in report.held_back)]
            before = report.watermark_before
            partial = self._run.partial or watermark is None or (before is not None and watermark < before)
            facts = {**report.facts(), "errors": errors[: state.ERRORS_LISTED], "partial": partial}
            state.announce(cursor, self._run, facts)
            if not self.dry_run:
                state.complete(
                    cursor,
                    self._resource.state,
                    synced=report.fetched,
                    created=report.counts.created,
                    updated=report.counts.updated,
                    watermark=watermark,
                )
            return state.watermark(cursor.connection, self._resource.state)

        report.watermark_after = self._session.transaction("finish", attempt)
        if self._resource.derivation and not self.dry_run:
            # all that it derives from has been synced, so rows may be mended that broke a foreign key
            constraints.validate_mended(self.connection)
        self.close()
        return report

    def fail(self, errors: Sequence[Mapping[str, Any]], *, cancelled: bool = False) -> None:
        """Record the failure, or the cancelling, and give the lock back."""

        def say(cursor: Cursor) -> None:
            facts = self.report.facts() | ({"status": "cancelled"} if cancelled else {})
            state.announce(cursor, self._run, facts)
            state.fail(cursor, self._resource.state, errors)

        try:
            if not self.dry_run:
                self._session.last_words(say)
        except (psycopg2.Error, DatabaseUnreachable):
            # the run-status sensor records it once the database is back
            self.report.errors.append({"code": "STATE_NOT_RECORDED", "message": "the database could not be reached"})
        finally:
            self.close()

    def close(self) -> None:
        """Give the lock back and end the connection, with its temporary tables and a dry run's work."""
        self._session.close()

    def _prepare(self, table: Table) -> None:
        if table.name in self._merges:
            return
        live = tables.inspect(self.connection, table)
        staging.create(self.connection, table, live)
        self._merges[table.name] = Merge(table, live)
        self._types[table.name] = tables.column_types(live)
        self._session.commit()

    def _quarantined(self, table: Table, owner: Resource) -> set[str]:
        """The keys that are in quarantine as `owner`'s records, which need not be this load's own."""
        at = (owner.state, table.name)
        if at not in self._quarantined_keys:
            self._quarantined_keys[at] = self._session.read(
                lambda cursor: quarantine.open_keys(cursor, resource=owner.state, table=table.name)
            )
        return self._quarantined_keys[at]
