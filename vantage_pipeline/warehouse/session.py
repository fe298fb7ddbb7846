"""The connection of a load: its lock, its transactions, and how a dry run has just one of these."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from vantage_pipeline.errors import PipelineError
from vantage_pipeline.warehouse import locks, refusals
from vantage_pipeline.warehouse.crash_points import reached
from vantage_pipeline.warehouse.load_report import LoadOptions
from vantage_pipeline.warehouse.rehearsal import Rehearsal, clear_the_way

T = TypeVar("T")
_TRIES = 4


class Session:
    """A connection for one load of the resource whose state is named `resource`.

    Args:
        connect: makes a connection.
        rehearsal: the transaction that a dry run takes part in; without it, it has one of its own.
    """

    def __init__(
        self, connect: Callable[[], Connection], resource: str, options: LoadOptions, rehearsal: Rehearsal | None
    ) -> None:
        self._connect = connect
        self._resource = resource
        self._options = options
        self._rehearsal = (rehearsal or Rehearsal()) if options.dry_run else None
        self._alone = rehearsal is None
        self.connection = self._rehearsal.join(self._open) if self._rehearsal else self._open()

    @property
    def dry_run(self) -> bool:
        return self._options.dry_run

    def acquire(self) -> None:
        """Take the resource's lock.

        Raises:
            SyncAlreadyRunning: another sync of the resource runs.
        """
        locks.acquire(self.connection, self._resource, wait_seconds=self._options.lock_wait_seconds)
        self.commit()
        if self._rehearsal is not None:
            self._rehearsal.begin()

    def transaction(self, name: str, work: Callable[[Cursor], T]) -> T:
        """Run `work` in one transaction, again when PostgreSQL asks for it. `name` is that of its crash points.

        In a dry run everything is one transaction, so `work` runs in a savepoint instead.

        Raises:
            WarehouseError: PostgreSQL refused a statement.
        """
        for remaining in reversed(range(_TRIES)):
            try:
                with self.connection.cursor() as cursor:
                    if self.dry_run:
                        cursor.execute("SAVEPOINT batch")
                    result = work(cursor)
                    if self.dry_run:
                        cursor.execute("RELEASE SAVEPOINT batch")
                reached(f"{name}.written")
                self.commit()
                reached(f"{name}.committed")
                return result
            except psycopg2.Error as error:
                self._roll_back()
                if remaining and error.pgcode in refusals.AGAIN:
                    if not self.dry_run:
                        clear_the_way(self.connection)
                    continue
                raise refusals.explained(error, self._resource) from error
            except BaseException:
                self._roll_back()
                raise
        raise PipelineError("unreachable")

    def read(self, work: Callable[[Cursor], T]) -> T:
        """What `work` finds in the database; it writes nothing."""
        with refusals.explaining(self._resource), self.connection.cursor() as cursor:
            found = work(cursor)
        self.commit()
        return found

    def commit(self) -> None:
        """Commit, except in a dry run."""
        if not self.dry_run:
            self.connection.commit()

    def last_words(self, say: Callable[[Cursor], None]) -> None:
        """Commit what is said of a failure, on a new connection if the old one is gone.

        Raises:
            DatabaseUnreachable: there is no new one either.
            psycopg2.Error: it is gone, too.
        """
        try:
            self.connection.rollback()
            self._commit_words(say)
        except psycopg2.Error:
            self.connection = self._open()
            self._commit_words(say)

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
            self.connection.rollback()
            locks.release(self.connection, self._resource)
        except psycopg2.Error:
            pass
        finally:
            self.connection.close()

    def _commit_words(self, say: Callable[[Cursor], None]) -> None:
        with self.connection.cursor() as cursor:
            say(cursor)
        reached("failure.written")
        self.connection.commit()
        reached("failure.committed")

    def _open(self) -> Connection:
        """A connection that waits so long, and no longer, for rows and tables that others hold."""
        connection = self._connect()
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('lock_timeout', %s, false)", (f"{round(self._options.table_lock_seconds * 1000)}ms",)
            )
        connection.commit()
        return connection

    def _roll_back(self) -> None:
        try:
            if self.dry_run and not self.connection.closed:
                with self.connection.cursor() as cursor:
                    cursor.execute("ROLLBACK TO SAVEPOINT batch")
            else:
                self.connection.rollback()
        except psycopg2.Error:
            pass
