"""Runs that cannot speak for themselves any more: killed, cancelled, lost with their machine, never begun.

They are closed through the same functions as every other run; saying it twice, or late, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from psycopg2.extensions import connection as Connection

from vantage_pipeline.warehouse import locks, state
from vantage_pipeline.warehouse.state import Run

_BY_HAND = "manual-%"
_TAKEN_FOR_DEAD = ("RUN_LOST", "INTERRUPTED")


@dataclass(frozen=True, slots=True)
class Ended:
    """What a resource's sync did, where it ended well."""

    fetched: int
    created: int
    updated: int


def close_run(
    connection: Connection,
    run_id: str,
    *,
    selected: Iterable[str],
    created: datetime,
    code: str,
    message: str,
    cancelled: bool = False,
    known: Mapping[str, Run] | None = None,
) -> list[str]:
    """Close what a run that has ended left open; gives the resources.

    Args:
        selected: the resources that the run was to sync. They are recorded as failed when the run ended before
            its first step, unless a newer run has begun since.
        created: when the run was asked for.
        known: who asked for the run and with which options, by state name, for syncs that never began.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT resource, partition_key, status FROM vantage_sync_history WHERE run_id = %s", (run_id,))
        told = cursor.fetchall()
        left = [(resource, part) for resource, part, status in told if status == "running"]
        if not told:
            cursor.execute(
                "SELECT resource FROM vantage_sync_state WHERE resource = ANY(%s) AND coalesce(started_at < %s, true)",
                (list(selected), created),
            )
            left = [(resource, "") for (resource,) in cursor.fetchall()]
        for resource, part in left:
            run = (known or {}).get(resource) or Run(run_id, triggered_by="run-status sensor")
            state.announce(cursor, replace(run, partition_key=part), {"status": "cancelled"} if cancelled else None)
            state.fail(cursor, resource, [{"code": code, "message": message}])
    connection.commit()
    return [resource for resource, _ in left]


def settle_run(connection: Connection, run_id: str, ended: Mapping[str, Ended]) -> list[str]:
    """Close what a run left open although it ended well; gives the resources.

    The watermark stays where it is: only the transaction that wrote the last rows may move it. What ended well is
    partial therefore.

    Args:
        ended: what each resource that was synced to its end did. One that is still open without it has failed.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT resource, partition_key, status FROM vantage_sync_history WHERE run_id = %s"
            " AND (status = 'running' OR (status = 'failed' AND errors->0->>'code' = ANY(%s)))",
            (run_id, list(_TAKEN_FOR_DEAD)),
        )
        left = [row for row in cursor.fetchall() if row[2] == "running" or row[0] in ended]
        for resource, part, _ in left:
            done = ended.get(resource)
            told = Run(run_id, part, triggered_by="run-status sensor", partial=done is not None)
            state.announce(cursor, told)
            if done is None:
                message = "the run ended without a result for it; the next sync completes it"
                state.fail(cursor, resource, [{"code": "NO_RESULT", "message": message}])
            else:
                state.complete(
                    cursor,
                    resource,
                    synced=done.fetched,
                    created=done.created,
                    updated=done.updated,
                    watermark=None,
                )
    connection.commit()
    return [resource for resource, _, _ in left]


def close_dead(connection: Connection) -> list[str]:
    """Close runs that say they are running while nobody holds their resource's lock; gives the resources.

    A running sync holds the lock from before its start to after its end, so without it there is none.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT run_id, resource, partition_key FROM vantage_sync_history"
            " WHERE status = 'running' AND run_id NOT LIKE %s",
            (_BY_HAND,),
        )
        running = cursor.fetchall()
    connection.commit()
    dead = [row for row in running if not locks.is_held(connection, row[1])]
    with connection.cursor() as cursor:
        for run_id, resource, part in dead:
            state.announce(cursor, Run(run_id, part, triggered_by="lost-run sensor"))
            lost = {"code": "RUN_LOST", "message": "the process that ran the sync is gone; the next sync completes it"}
            state.fail(cursor, resource, [lost])
    connection.commit()
    return [resource for _, resource, _ in dead]
