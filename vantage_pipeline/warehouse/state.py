"""The state of each sync, through the SQL functions that everyone uses: runs, sensors and people.

A run's identity and the facts beyond the functions' arguments travel in the session setting
``vantage_pipeline.run`` (JSON), which the functions read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

ERRORS_LISTED = 100
"""Errors listed in a state row; all of them are in the quarantine."""


@dataclass(frozen=True, slots=True)
class Run:
    """Who syncs, and with which options. `partition_key` is empty for a resource without partitions.

    A `partial` run is known beforehand to read but some records: its success says nothing of the resource.
    """

    run_id: str
    partition_key: str = ""
    triggered_by: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    partial: bool = False
    attempt: int = 1
    """More than 1 where Dagster tries the run again."""


def announce(cursor: Cursor, run: Run, facts: Mapping[str, Any] | None = None) -> None:
    """Tell this session's state functions which run speaks and what it has to say."""
    said = {
        "run_id": run.run_id,
        "partition_key": run.partition_key,
        "triggered_by": run.triggered_by,
        "options": dict(run.options),
        **({"partial": True} if run.partial else {}),
        **({"attempt": run.attempt} if run.attempt > 1 else {}),
        **(facts or {}),
    }
    cursor.execute("SELECT set_config('vantage_pipeline.run', %s, false)", (json.dumps(said, default=str),))


def keep_changes(cursor: Cursor, wanted: bool | tuple[str, ...]) -> None:
    """Of which synced tables what this session writes is recorded in ``vantage_change_history``: all, none, or some."""
    said = ",".join(wanted) if isinstance(wanted, tuple) else "on" if wanted else "off"
    cursor.execute("SELECT set_config('vantage_pipeline.change_history', %s, false)", (said,))


def start(cursor: Cursor, resource: str) -> None:
    cursor.execute("SELECT start_vantage_sync(%s)", (resource,))


def checkpoint(cursor: Cursor, resource: str, details: Mapping[str, Any]) -> None:
    """Counts and position so far, into the running row of the history."""
    cursor.execute("SELECT checkpoint_vantage_sync(%s, %s::jsonb)", (resource, json.dumps(details, default=str)))


def complete(
    cursor: Cursor, resource: str, *, synced: int, created: int, updated: int, watermark: datetime | None
) -> None:
    """The sync succeeded. A watermark of None leaves the old one."""
    cursor.execute("SELECT complete_vantage_sync(%s, %s, %s, %s, %s)", (resource, synced, created, updated, watermark))


def fail(cursor: Cursor, resource: str, errors: Sequence[Mapping[str, Any]]) -> None:
    cursor.execute(
        "SELECT fail_vantage_sync(%s, %s::jsonb)", (resource, json.dumps(list(errors)[:ERRORS_LISTED], default=str))
    )


def clock(connection: Connection) -> datetime:
    """What time the database has: the clock of ``last_synced_at``."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = (cursor.fetchone() or (None,))[0]
    return moment


def watermark(connection: Connection, resource: str) -> datetime | None:
    """Up to when everything that changed in the source is in the table; None if never synced."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_sync_time FROM vantage_sync_state WHERE resource = %s", (resource,))
        row = cursor.fetchone()
    return row[0] if row else None
