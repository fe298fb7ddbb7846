"""One sync of one resource into the warehouse: lock, start, batches, end.

Each batch is one transaction with its rows, its rejected records, its pending links and its checkpoint; the
last transaction also holds the watermark and the state. A dry run does the same in a single transaction that
is rolled back, which its resources may share (`rehearsal`), and leaves the state alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline.catalog.model import Resource, Rule, Table
from vantage_pipeline.errors import DatabaseUnreachable, PipelineError, WarehouseError
from vantage_pipeline.records.model import Rejection, RowBatch
from vantage_pipeline.records.plans import ColumnType
from vantage_pipeline.records.rules import KNOWN_TRANSACTION_TYPES
from vantage_pipeline.warehouse import (
    constraints,
    deletion,
    guard,
    locks,
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
from vantage_pipeline.warehouse.rehearsal import Rehearsal, clear_the_way
from vantage_pipeline.warehouse.state import Run

T = TypeVar("T")
_TRIES = 4


class Load:
    """A running load. `begin` first, then `write` for each batch, then `finish` or `fail`."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        resource: Resource,
        run: Run,
        options: LoadOptions | None = None,
        rehearsal: Rehearsal | None = None,
    ) -> None:
        """Args:
        rehearsal: the transaction that a dry run takes part in; without it, it has one of its own.
        """
        self._connect = connect
        self._options = options or LoadOptions()
        self._rehearsal = (rehearsal or Rehearsal()) if self.dry_run else None
        self._alone = rehearsal is None
        self._connection = self._rehearsal.join(self._open) if self._rehearsal else self._open()
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
        return self._connection

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
            locks.acquire(self._connection, self._resource.state, wait_seconds=self._options.lock_wait_seconds)
            self._commit()
            if self._rehearsal is not None:
                self._rehearsal.begin()
            reached("begin.locked")
            self.report.watermark_before = state.watermark(self._connection, self._resource.state)
            self._began = state.clock(self._connection)
            for dataset in self._resource.datasets:
                self._prepare(dataset.table)
            with self._connection.cursor() as cursor:
                state.keep_changes(cursor, self._options.change_history)
                state.announce(cursor, self._run, {"watermark_before": self.report.watermark_before})
                if not self.dry_run:
                    state.start(cursor, self._resource.state)
            reached("begin.written")
            self._commit()
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
                return self._write(refusals.refused(batch, error), position, resource)
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
            if counts.dangling or self._has_pending(cursor, batch.table):
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
                    state.checkpoint(cursor, self._resource.state, self._checkpoint(counts, batch, position))
            return counts, rejections, held, tallies, filled

        counts, rejections, held, tallies, filled = self._transaction("batch", attempt)
        self._guard.keep(tallies)
        self._fields.setdefault(batch.table.name, Counter()).update(batch.fields)
        self._count(batch, counts, rejections, own=own)
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
        with refusals.explaining(self._resource.state), self._connection.cursor() as cursor:
            return deletion.count_seen(cursor, table)

    def unseen(self, table: Table) -> list[str]:
        """Keys of `table` that are here and that this load has not seen, unless there are too many to be marked."""
        with refusals.explaining(self._resource.state), self._connection.cursor() as cursor:
            keys = deletion.unseen(cursor, table, self._options, resource=self._resource.state)
        self._commit()
        return keys

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
        self._transaction(
            "deletion",
            lambda cursor: guard.record(cursor, held, run_id=self._run.run_id, resource=self._resource.state),
        )
        self.report.held_back.append(held)

    def _mark_deleted(self, table: Table, attempt: Callable[[Cursor], tuple[list[str], HeldBack | None]]) -> int:
        deleted, held = self._transaction("deletion", attempt)
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

        counts = self._transaction("derivation", attempt)
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

        report.watermark_after = self._transaction("finish", attempt)
        if self._resource.derivation and not self.dry_run:
            # all that it derives from has been synced, so rows may be mended that broke a foreign key
            constraints.validate_mended(self._connection)
        self.close()
        return report

    def fail(self, errors: Sequence[Mapping[str, Any]], *, cancelled: bool = False) -> None:
        """Record the failure, or the cancelling, on a new connection if the old one is gone, and give the lock back."""
        try:
            if self.dry_run:
                return
            try:
                self._connection.rollback()
                self._record_failure(errors, cancelled=cancelled)
            except psycopg2.Error:
                self._connection = self._open()
                self._record_failure(errors, cancelled=cancelled)
        except (psycopg2.Error, DatabaseUnreachable):
            # the run-status sensor records it once the database is back
            self.report.errors.append({"code": "STATE_NOT_RECORDED", "message": "the database could not be reached"})
        finally:
            self.close()

    def close(self) -> None:
        """Give the lock back and end the connection, with its temporary tables and a dry run's work.

        The lock would go with the connection, but only once the server has noticed its end. What a dry run shares
        with others is left to them.
        """
        if self._rehearsal is not None:
            self._rehearsal.end()
            if self._alone:
                self._rehearsal.close()
            return
        try:
            self._connection.rollback()
            locks.release(self._connection, self._resource.state)
        except psycopg2.Error:
            pass
        finally:
            self._connection.close()

    def _open(self) -> Connection:
        """A connection that waits so long, and no longer, for rows and tables that others hold."""
        connection = self._connect()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('lock_timeout', %s, false)", (f"{round(self._options.table_lock_seconds * 1000)}ms",)
            )
        connection.commit()
        return connection

    def _record_failure(self, errors: Sequence[Mapping[str, Any]], *, cancelled: bool) -> None:
        with self._connection.cursor() as cursor:
            facts = self.report.facts() | ({"status": "cancelled"} if cancelled else {})
            state.announce(cursor, self._run, facts)
            state.fail(cursor, self._resource.state, errors)
        reached("failure.written")
        self._connection.commit()
        reached("failure.committed")

    def _prepare(self, table: Table) -> None:
        if table.name in self._merges:
            return
        live = tables.inspect(self._connection, table)
        staging.create(self._connection, table, live)
        self._merges[table.name] = Merge(table, live)
        self._types[table.name] = tables.column_types(live)
        self._commit()

    def _quarantined(self, table: Table, owner: Resource) -> set[str]:
        """The keys that are in quarantine as `owner`'s records, which need not be this load's own."""
        at = (owner.state, table.name)
        if at not in self._quarantined_keys:
            with refusals.explaining(self._resource.state), self._connection.cursor() as cursor:
                self._quarantined_keys[at] = quarantine.open_keys(cursor, resource=owner.state, table=table.name)
            self._commit()
        return self._quarantined_keys[at]

    def _transaction(self, name: str, work: Callable[[Cursor], T]) -> T:
        """Run `work` in one transaction, again when PostgreSQL asks for it. `name` is that of its crash points.

        In a dry run everything is one transaction, so `work` runs in a savepoint instead.
        """
        for remaining in reversed(range(_TRIES)):
            try:
                with self._connection.cursor() as cursor:
                    if self.dry_run:
                        cursor.execute("SAVEPOINT batch")
                    result = work(cursor)
                    if self.dry_run:
                        cursor.execute("RELEASE SAVEPOINT batch")
                reached(f"{name}.written")
                self._commit()
                reached(f"{name}.committed")
                return result
            except psycopg2.Error as error:
                self._roll_back()
                if remaining and error.pgcode in refusals.AGAIN:
                    if not self.dry_run:
                        clear_the_way(self._connection)
                    continue
                raise refusals.explained(error, self._resource.state) from error
            except BaseException:
                self._roll_back()
                raise
        raise PipelineError("unreachable")

    def _commit(self) -> None:
        if not self.dry_run:
            self._connection.commit()

    def _roll_back(self) -> None:
        try:
            if self.dry_run and not self._connection.closed:
                with self._connection.cursor() as cursor:
                    cursor.execute("ROLLBACK TO SAVEPOINT batch")
            else:
                self._connection.rollback()
        except psycopg2.Error:
            pass

    def _has_pending(self, cursor: Cursor, table: Table) -> bool:
        if not table.links:
            return False
        cursor.execute("SELECT EXISTS (SELECT 1 FROM vantage_pending_links WHERE table_name = %s)", (table.name,))
        row = cursor.fetchone()
        return bool(row and row[0])

    def _checkpoint(self, counts: MergeCounts, batch: RowBatch, position: Mapping[str, Any] | None) -> dict[str, Any]:
        report = self.report
        return {
            "records_synced": report.fetched + batch.fetched,
            "records_created": report.counts.created + counts.created,
            "records_updated": report.counts.updated + counts.updated,
            "records_unchanged": report.counts.unchanged + counts.unchanged,
            "records_quarantined": report.quarantined + len(batch.rejections),
            "api_calls": report.api_calls,
            "checkpoint": {"table": batch.table.name, **(position or {})},
        }

    def _count(self, batch: RowBatch, counts: MergeCounts, rejections: Sequence[Rejection], *, own: bool) -> None:
        report = self.report
        if own:
            report.fetched += batch.fetched
            report.repeated += batch.repeated
            report.counts = report.counts + counts
            report.quarantined += len(rejections)
        else:
            report.related = report.related + counts
        for column in batch.table.columns:
            if column.rule is Rule.TRANSACTION_TYPE:
                types = Counter(batch.columns[column.name])
                report.unmapped_types.update({t: n for t, n in types.items() if t and t not in KNOWN_TRANSACTION_TYPES})
        report.by_table[batch.table.name] = report.by_table.get(batch.table.name, MergeCounts()) + counts
        report.rejections.extend(rejections[: max(0, state.ERRORS_LISTED - len(report.rejections))])
