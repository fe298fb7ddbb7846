"""The one transaction of a dry run: each of its resources sees what those before it would have written.

It is always undone. Until then the resources' locks are held, so that what was foretold of them stays true. A sync
that waits for rows that it holds comes first: it ends the dry run (`clear_the_way`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_INERROR
from psycopg2.extensions import connection as Connection

from vantage_pipeline.errors import DatabaseUnreachable

_NAME = "vantage-pipeline dry run"
_END_DRY_RUNS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = %s AND datname = current_database() AND usename = current_user
"""


class Rehearsal:
    """The connection that the loads of one dry run share. It is made by the first, and used by one load at a time."""

    def __init__(self) -> None:
        self._connection: Connection | None = None

    def join(self, connect: Callable[[], Connection]) -> Connection:
        """The shared connection, in its transaction.

        Raises:
            DatabaseUnreachable: it was lost, and with it all that the resources before would have written.
        """
        if self._connection is None:
            self._connection = connect()
            with self._connection.cursor() as cursor:
                cursor.execute("SELECT set_config('application_name', %s, false)", (_NAME,))
        elif self._connection.closed:
            raise DatabaseUnreachable(
                "the connection of this dry run was lost, and what it had foretold with it; nothing was written; "
                "start the dry run again when the database is back"
            )
        return self._connection

    def begin(self) -> None:
        """A load begins."""
        self._say("SAVEPOINT resource")

    def end(self) -> None:
        """A load ended. What it wrote stays, as it would in a sync, unless the transaction cannot go on otherwise."""
        if self._connection is None:
            return
        with suppress(psycopg2.Error):
            if self._connection.get_transaction_status() == TRANSACTION_STATUS_INERROR:
                self._say("ROLLBACK TO SAVEPOINT resource")
            self._say("RELEASE SAVEPOINT resource")

    def close(self) -> None:
        """Undo everything, give the locks back and end the connection; the next load to join begins anew."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.rollback()
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock_all()")
            connection.commit()
        except psycopg2.Error:
            pass
        finally:
            connection.close()

    def _say(self, statement: str) -> None:
        if self._connection is not None:
            with self._connection.cursor() as cursor:
                cursor.execute(statement)


def clear_the_way(connection: Connection) -> None:
    """End the dry runs of this database, since a sync cannot wait for the rows that one of them may hold."""
    with connection.cursor() as cursor:
        cursor.execute(_END_DRY_RUNS, (_NAME,))
    connection.commit()
