"""The history of the syncs: which successes nobody was told of yet, and how long syncs stay in it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from psycopg2.extensions import cursor as Cursor


@dataclass(frozen=True, slots=True)
class Success:
    """A sync that ended well."""

    resource: str
    run_id: str
    partial: bool
    synced: int
    created: int
    updated: int
    deleted: int
    quarantined: int
    seconds: float


def untold_successes(cursor: Cursor, states: Collection[str]) -> list[Success]:
    """The successes of the last day that no message told of, in their order; from now on they count as told."""
    cursor.execute(
        "WITH told AS (UPDATE vantage_sync_history SET told = true WHERE status = 'success' AND NOT told"
        " AND completed_at > now() - interval '1 day' AND resource = ANY(%s) RETURNING *)"
        " SELECT resource, run_id, partial, records_synced, records_created, records_updated, records_deleted,"
        " records_quarantined, (coalesce(duration_ms, 0) / 1000.0)::float8 FROM told ORDER BY completed_at, id",
        (sorted(states),),
    )
    return [Success(*row) for row in cursor.fetchall()]


def forget(cursor: Cursor, days: int) -> int:
    """Remove syncs older than so many days, except those that tell how a resource is; gives how many."""
    cursor.execute("SELECT vantage_forget_history(%s)", (days,))
    row = cursor.fetchone()
    return int(row[0]) if row else 0
