"""One sync of a resource at a time, across processes and machines: session-level advisory locks.

The lock goes with the connection, so nothing stays locked after a crash.
"""

from __future__ import annotations

import time

from psycopg2.extensions import connection as Connection

from vantage_pipeline.errors import SyncAlreadyRunning

_SPACE = 0x56414E54
_POLL_SECONDS = 0.2


def acquire(connection: Connection, resource: str, *, wait_seconds: float = 0) -> None:
    """Take the resource's lock for this connection, which keeps it whatever becomes of the transaction.

    Raises:
        SyncAlreadyRunning: another connection holds it, still after `wait_seconds`.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", (_SPACE, resource))
            row = cursor.fetchone()
        if row and row[0]:
            return
        if time.monotonic() >= deadline:
            raise SyncAlreadyRunning(
                f"{resource}: another sync of it is running, so this one was turned away; wait for it to end "
                f"(vantage-pipeline status), or set VANTAGE_PIPELINE_LOCK_WAIT_SECONDS to wait in line"
            )
        time.sleep(_POLL_SECONDS)


def release(connection: Connection, resource: str) -> None:
    """Give the lock back; nothing happens when it is not held."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_unlock(%s, hashtext(%s))", (_SPACE, resource))
    connection.commit()


def is_held(connection: Connection, resource: str) -> bool:
    """Whether some connection holds the resource's lock: whether a sync of it is alive."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2"
            " AND classid = %s AND objid = (hashtext(%s)::bigint & 4294967295)::oid"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
            (_SPACE, resource),
        )
        row = cursor.fetchone()
    return bool(row and row[0])
